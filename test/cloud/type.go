package cloud

import "slices"

// Type is a size of instance.
type Type struct {
	Name     string
	VCPU     int
	MemoryMB int
}

// Types are one family, the smallest first.
var Types = []Type{
	{"g.n3.medium", 1, 4 << 10},
	{"g.n3.large", 2, 8 << 10},
	{"g.n3.xlarge", 4, 16 << 10},
	{"g.n3.2xlarge", 8, 32 << 10},
	{"g.n3.4xlarge", 16, 64 << 10},
	{"g.n3.8xlarge", 32, 128 << 10},
}

// TypeOf is the smallest type with that many vCPUs, or the largest of all.
func TypeOf(vcpu int) Type {
	i := slices.IndexFunc(Types, func(t Type) bool { return t.VCPU >= vcpu })
	if i < 0 {
		i = len(Types) - 1
	}
	return Types[i]
}
