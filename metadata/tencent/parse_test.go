package tencent

import (
	"context"
	"errors"
	"strings"
	"testing"

	"enid/metadata"
	"enid/test/metadatatest"
)

// FuzzParse reads whatever one ENI and the lists may say. What is known must be usable.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/two.txtar", "testdata/odd.txtar"} {
		tree := metadatatest.ReadTree(&testing.T{}, file)
		const dir = root + "network/interfaces/macs/52:54:00:BF:B3:51/"
		at := dir + listKey + "10.104.13.59/"
		f.Add(tree[root+"mac"].Body, tree[root+"network/interfaces/macs/"].Body, tree[dir+listKey].Body, tree[dir+primaryKey].Body,
			tree[at+maskKey].Body, tree[at+gatewayKey].Body, tree[dir+publicsKey].Body, tree[at+publicKey].Body)
	}
	f.Add("525400BFB351", "52-54-00-bf-b3-51\r\n52:54:00:BF:B3:51/\n", "10.0.0.1/\n10.0.0.2", "10.0.0.1", "255.255.255.254", "10.0.0.0", "", "::1")
	f.Add("", "\x00", "../../x/", "0.0.0.0", "255.255.255.255", "255.255.255.255", "1.1.1.1/\n1.1.1.1", "x")
	f.Fuzz(func(t *testing.T, primary, list, addresses, first, mask, gateway, publics, public string) {
		var m memory
		s, err := parse(m.gather(t.Context(), func(_ context.Context, path string) (string, error) {
			switch key := path[strings.LastIndexByte(strings.TrimSuffix(path, "/"), '/')+1:]; key {
			case "mac":
				return primary, nil
			case "macs/":
				return list, nil
			case listKey:
				return addresses, nil
			case primaryKey:
				return first, nil
			case maskKey:
				return mask, nil
			case gatewayKey:
				return gateway, nil
			case publicsKey:
				return publics, nil
			case publicKey:
				return public, nil
			}
			return "", errors.New("down")
		}))
		if err == nil {
			metadatatest.Usable(t, s)
		}
	})
}

func TestMaskBits(t *testing.T) {
	for mask, want := range map[string]int{
		"255.255.192.0": 18, "255.255.255.252": 30, "128.0.0.0": 1, "255.255.255.0\n": 24,
		"255.255.255.254": 0, "255.255.255.255": 0, "0.0.0.0": 0, "255.0.255.0": 0, "0.0.0.255": 0, "24": 0, "": 0, "::": 0,
	} {
		got, err := maskBits(mask)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %d, %v, want %d", mask, got, err, want)
		}
	}
}

func TestAddressLines(t *testing.T) {
	for body, want := range map[string]int{
		"10.0.0.2/\n10.0.0.20/": 2, "10.0.0.2\n10.0.0.20\n": 2, "10.0.0.2/\r\n10.0.0.2/\r\n": 1,
		"10.0.0.2/\n10.0.0.2": 0, "10.0.0.2": 1, "": 0, "\n": 0, "10.0.0.2/\n10.0.0": 0, "fe80::1/": 0,
	} {
		got, err := addressLines(body)
		if len(got) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %v, %v, want %d", body, got, err, want)
		}
	}
	var bad *metadata.BadAnswerError
	_, err := metadata.Read(metadata.Answers{"x": {Body: "10.0.0.2/\n10"}}, "x", addressLines)
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("got %v", err)
	}
}
