// Package agent is the daemon: it asks the metadata, looks at the kernel, and brings the two
// together with netcfg. One goroutine decides and writes; everything else only pokes it. It
// knows no netlink.
package agent
