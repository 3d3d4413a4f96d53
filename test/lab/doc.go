// Package lab is a laboratory of network namespaces: VMs whose NICs are
// hot-plugged, a fabric that drops and records every frame whose source is not
// the NIC's own, a neighbour in every subnet, a host beyond the router, and
// probes between them.
//
// It works as root and as an ordinary user. Nothing in it has a name outside:
// namespaces live by file descriptors and processes alone, and the process that
// called Enter is the first of a pid namespace, so that the kernel removes
// everything when it ends, however it ends.
//
// A program calls Enter before anything else, tests do it through Main:
//
//	func TestMain(m *testing.M) { lab.Main(m) }
package lab
