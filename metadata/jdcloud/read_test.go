package jdcloud

import (
	"slices"
	"strings"
	"testing"

	"enid/metadata"
	"enid/test/metadatatest"
)

func TestNames(t *testing.T) {
	tests := map[string][]string{
		`["1/","3/"]`:             {"1/", "3/"},
		" [ \"1\" , \"2\" ] \n":   {"1", "2"},
		`[1,2]`:                   {"1", "2"},
		"1/\r\n2/\r\n":            {"1/", "2/"},
		"1\n\n2":                  {"1", "2"},
		"\"1/\"\n\"2/\"":          {"1/", "2/"},
		"":                        nil,
		"[]":                      nil,
		`["attributes/","pin"]`:   {"attributes/", "pin"},
		"[\"\\u0031/\", \" 2 \"]": {"1/", "2"},
	}
	for body, want := range tests {
		got, err := names(body)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("names(%q) = %q, %v, want %q", body, got, err, want)
		}
	}
	for _, body := range []string{`["1/"`, `["1/",]`, `{"Code":"fail"}`, `{}`, `["1/"]x`, "\"1\n2", `["\x"]`} {
		if got, err := names(body); err == nil {
			t.Errorf("names(%q) = %q, want an error", body, got)
		}
	}
}

func TestScalar(t *testing.T) {
	for body, want := range map[string]string{
		`"10.0.0.5"`: "10.0.0.5", "10.0.0.5": "10.0.0.5", " \"x\" \n": "x", "x\r\n": "x", `" x "`: "x", "123": "123",
	} {
		if got, err := scalar(body); err != nil || got != want {
			t.Errorf("scalar(%q) = %q, %v, want %q", body, got, err, want)
		}
	}
	for _, body := range []string{"", " \n", `""`, `"`, `"x`, `"x"y`, "a b", "a\nb", `{"Code":"fail"}`, `"{\"Code\":\"fail\"}"`, "null", "[]", `["x"]`, "a\x00", "\xff"} {
		if got, err := scalar(body); err == nil {
			t.Errorf("scalar(%q) = %q, want an error", body, got)
		}
	}
}

func TestDocumentText(t *testing.T) {
	for body, want := range map[string]string{
		"  interfaces:\n  - mac: x\n": "  interfaces:\n  - mac: x\n", // white space that means something
		`"interfaces:\n- mac: x"`:     "interfaces:\n- mac: x",
		`{"interfaces": []}`:          `{"interfaces": []}`,
	} {
		if got, err := documentText(body); err != nil || got != want {
			t.Errorf("documentText(%q) = %q, %v, want %q", body, got, err, want)
		}
	}
	for body, want := range map[string]string{
		"": "empty", "\n": "empty", `""`: "empty", `"interf`: "not a JSON string",
		`{"Code":"fail"}`: "no value", `{"code": "FAIL", "x": 1}`: "no value", `"{\"Code\":\"fail\"}"`: "no value",
	} {
		if got, err := documentText(body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("documentText(%q) = %q, %v, want %q", body, got, err, want)
		}
	}
}

func TestNICs(t *testing.T) {
	got, bad, err := nics(`["10/","2","1/","2/","x","-1","01"]`)
	want := []nic{{1, "network/1/"}, {2, "network/2/"}, {10, "network/10/"}}
	if err != nil || !slices.Equal(got, want) || !slices.Equal(bad, []string{"x", "-1"}) {
		t.Errorf("got %v, %q, %v, want %v", got, bad, err, want)
	}
}

// FuzzParse reads whatever the service may say about two NICs.
func FuzzParse(f *testing.F) {
	const mac = "02:29:96:8f:00:0"
	f.Add(`["1/","3/"]`, `"10.0.0.5"`, `"`+mac+`1"`, mac+"2", `"10.0.0.5"`, "10.0.1.5", "interfaces:\n- mac: "+mac+"2\n  addresses: [10.0.1.5]\n")
	f.Add("0\n1\n", "", mac+"1", mac+"1", "", `{"Code":"fail"}`, `{"interfaces": [{"mac": "`)
	f.Add("[1, 2", "null", "[]", "\"", "::1", "10.0.0.5/24", `"interfaces:\n"`)
	f.Fuzz(func(t *testing.T, list, root, mac1, mac2, address1, address2, document string) {
		listed, _, err := nics(list)
		if err != nil {
			return
		}
		answers := metadata.Answers{networkPath: {Body: list}, addressPath: {Body: root}, documentPath: {Body: document}}
		for n, nic := range listed {
			answers[nic.dir+"mac"] = metadata.Answer{Body: []string{mac1, mac2}[n%2]}
			answers[nic.dir+"local-ipv4"] = metadata.Answer{Body: []string{address1, address2}[n%2]}
		}
		s, err := parse(answers)
		if err != nil {
			return
		}
		metadatatest.Usable(t, s)
	})
}
