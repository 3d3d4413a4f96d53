// Package netcfg decides what the kernel of a host with ENIs must look like and
// makes it so. Desired and Plan are pure functions over comparable values;
// Observe, Apply and Watch (the _linux.go files) are the only code that speaks
// to the kernel. It knows no HTTP and no cloud.
package netcfg
