package jdcloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"enid/metadata"
)

// names reads a directory: by the manual a JSON array, on the older base maybe one
// name a line.
func names(body string) ([]string, error) {
	body = strings.TrimSpace(body)
	switch {
	case strings.HasPrefix(body, "["):
		return array(body)
	case strings.HasPrefix(body, "{"):
		return nil, refusal(body)
	}
	return unquoteAll(strings.FieldsFunc(body, func(r rune) bool { return r == '\n' || r == '\r' }))
}

// array reads a JSON array of names. A number stands for its digits.
func array(body string) ([]string, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(body), &raw); err != nil {
		return nil, fmt.Errorf("%.80q is not a list: %w", body, err)
	}
	var items []string
	for _, r := range raw {
		items = append(items, string(r))
	}
	return unquoteAll(items)
}

func unquoteAll(items []string) ([]string, error) {
	var names []string
	for _, item := range items {
		name, err := unquote(item)
		if err != nil {
			return nil, err
		}
		names = append(names, strings.TrimSpace(name))
	}
	return names, nil
}

// scalar reads a value: the manual prints it as a JSON string, JD Cloud's
// Kubernetes expects it bare.
func scalar(body string) (string, error) {
	text, err := unquote(body)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(text)
	if strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") || s == "null" {
		return "", refusal(s)
	}
	return metadata.Word(s)
}

func ipv4(body string) (netip.Addr, error) {
	s, err := scalar(body)
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("%.80q is not an IPv4 address", s)
	}
	return a, nil
}

func macAddress(body string) (metadata.MAC, error) {
	s, err := scalar(body)
	if err != nil {
		return metadata.MAC{}, err
	}
	return metadata.ParseMAC(s)
}

// documentText is the text of the interfaces document, which may come as a JSON string.
func documentText(body string) (string, error) {
	text, err := unquote(body)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(text) == "" {
		return "", errors.New("the value is empty; write an interfaces document, or remove the key")
	}
	if failed(text) {
		return "", refusal(text)
	}
	return text, nil
}

// unquote takes off a JSON string's quotes. What is bare stays as it is: in a document white
// space has a meaning.
func unquote(body string) (string, error) {
	if !strings.HasPrefix(strings.TrimSpace(body), `"`) {
		return body, nil
	}
	var text string
	if err := json.Unmarshal([]byte(body), &text); err != nil {
		return "", fmt.Errorf("%.80q is not a JSON string: %w", body, err)
	}
	return text, nil
}

// failed recognises the object that the service was seen to send under status 200 for
// something it could not give: {"Code":"fail", …}.
func failed(text string) bool {
	var answer struct{ Code string }
	return json.Unmarshal([]byte(text), &answer) == nil && strings.EqualFold(answer.Code, "fail")
}

func refusal(body string) error {
	return fmt.Errorf("the service answered %.80q, which is no value", body)
}
