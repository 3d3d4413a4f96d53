package cloud

// roleless is what the metadata says of an instance without a role. That the
// path answers so, and not with 404, was seen on a real VM.
const roleless = `{"Code":"fail","accessKey":"","secretKey":"","sessionToken":"","expiration":""}`

// SetRole has the jdcloud dialect answer with what document tells, given an
// instance's id, where the credentials of its role are asked for; nil says
// again that there is no role. Without an instance it is for all those that
// have no role of their own. document must not call the cloud, which waits for it.
func (c *Cloud) SetRole(instance string, document func(instance string) string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.roles == nil {
		c.roles = map[string]func(string) string{}
	}
	c.roles[instance] = document
	if document == nil {
		delete(c.roles, instance)
	}
}

func (c *Cloud) role(instance string) string {
	for _, key := range []string{instance, ""} {
		if document, ok := c.roles[key]; ok {
			return document(instance)
		}
	}
	return roleless
}

// iam is the part of the metadata that no document lists: where credentials are.
func (v view) iam() node {
	d := lazyDir("iam", func() []node { return []node{leaf("instance-role-security-credentials", v.role())} })
	d.hidden = true
	return d
}
