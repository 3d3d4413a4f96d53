package rig

import (
	"errors"
	"net/netip"

	"enid/test/cloud"
	"enid/test/cloud/openapi"
)

// openAPIAt is where the fabric serves the OpenAPI to VMs.
var openAPIAt = netip.MustParseAddrPort("169.254.169.254:8080")

// NewJDCloud is NewSite with JD Cloud's metadata and its OpenAPI, which every enid asks with the credentials of its
// instance's role.
func NewJDCloud(o Options, c *cloud.Cloud) (*Site, *openapi.Service, error) {
	api := openapi.New(c)
	if err := api.BindRole(""); err != nil {
		return nil, nil, err
	}
	o.Dialect, o.openAPI = cloud.JDCloud, "http://"+openAPIAt.String()
	s, err := NewSite(o, c)
	if err != nil {
		return nil, nil, err
	}
	if err := s.serve(openAPIAt, api); err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return s, api, nil
}
