package jdcloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"

	"github.com/jdcloud-api/jdcloud-sdk-go/core"
	common "github.com/jdcloud-api/jdcloud-sdk-go/services/common/models"
	"github.com/jdcloud-api/jdcloud-sdk-go/services/vpc/apis"
)

// answerError is an answer that is none to the question that was asked.
type answerError struct {
	base, call string
	err        error
}

// Error says which question, where, and what is wrong.
func (e *answerError) Error() string { return fmt.Sprintf("OpenAPI %s: %s: %v", e.base, e.call, e.err) }

// Unwrap is what is wrong.
func (e *answerError) Unwrap() error { return e.err }

// describeENIs asks for all pages that the ENIs are on. A page past the last one shows the last one again, so that
// it brings nothing new.
func (o *openAPI) describeENIs(ctx context.Context, ids []string) (map[string]apiENI, error) {
	found := map[string]apiENI{}
	lacks := func(id string) bool { _, ok := found[id]; return !ok }
	for number := 1; number <= maxPages; number++ {
		result, err := o.call(ctx, func(region string) core.RequestInterface {
			number, size := number, pageSize
			filters := []common.Filter{{Name: "networkInterfaceIds", Values: ids}}
			return apis.NewDescribeNetworkInterfacesRequestWithAllParams(region, &number, &size, filters)
		})
		if err != nil {
			return nil, err
		}
		page, total, err := parseENIs(result)
		if err != nil {
			return nil, &answerError{o.client.base, "describeNetworkInterfaces", err}
		}
		before := len(found)
		maps.Copy(page, found) // the first word about an ENI counts
		found = page
		if !slices.ContainsFunc(ids, lacks) || len(found) == before || len(found) == total {
			break
		}
	}
	maps.DeleteFunc(found, func(id string, _ apiENI) bool { return !slices.Contains(ids, id) })
	return found, nil
}

func (o *openAPI) describeSubnet(ctx context.Context, id string) (netip.Prefix, error) {
	if !word.MatchString(id) {
		return netip.Prefix{}, &answerError{o.client.base, "describeSubnet", fmt.Errorf("%.40q is no id that could be asked about", id)}
	}
	result, err := o.call(ctx, func(region string) core.RequestInterface {
		return apis.NewDescribeSubnetRequest(region, id)
	})
	if err != nil {
		return netip.Prefix{}, err
	}
	prefix, err := parseSubnet(result, id)
	if err != nil {
		return netip.Prefix{}, &answerError{o.client.base, "describeSubnet " + id, err}
	}
	return prefix, nil
}

// call sends one request. Where the credentials are refused they are read again, and where those are others, they are tried:
// once, as a role that may not ask is refused whatever its credentials.
func (o *openAPI) call(ctx context.Context, request func(region string) core.RequestInterface) (json.RawMessage, error) {
	with, err := o.role.get(ctx)
	if err != nil {
		return nil, err
	}
	region, err := o.inRegion(ctx)
	if err != nil {
		return nil, err
	}
	result, err := o.client.get(ctx, request(region), with)
	if !denied(err) {
		return result, err
	}
	changed, roleErr := o.role.again(ctx)
	switch {
	case errors.Is(roleErr, errNoRole):
		return nil, roleErr
	case roleErr == nil && changed:
		result, err = o.client.get(ctx, request(region), o.role.have)
	}
	if denied(err) {
		err = fmt.Errorf("%w; let the role that is bound to the instance describe network interfaces and subnets", err)
	}
	return result, err
}

// word is what may stand in a path of the OpenAPI: regions and ids are such.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// inRegion is the instance's region, which does not change.
func (o *openAPI) inRegion(ctx context.Context) (string, error) {
	if o.region != "" {
		return o.region, nil
	}
	body, err := o.read(ctx, regionPath)
	if err != nil {
		return "", fmt.Errorf("the region, without which the OpenAPI cannot be asked: %w", err)
	}
	region, err := scalar(body)
	if err == nil && !word.MatchString(region) {
		err = fmt.Errorf("%.40q is not the name of a region", region)
	}
	if err != nil {
		return "", fmt.Errorf("the region, without which the OpenAPI cannot be asked: %s: %w", regionPath, err)
	}
	o.region = region
	return region, nil
}
