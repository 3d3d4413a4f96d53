package cloud

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// gcpObject is a folder: the names are those of paths, and in JSON they are written together.
type gcpObject []gcpMember

type gcpMember struct {
	name  string
	value any // gcpObject, gcpList, string or json.Number
}

// gcpList is a folder whose names are the places of its values.
type gcpList []any

// gcpNames is an object whose names are the user's, and in JSON what they are.
type gcpNames struct{ gcpObject }

// gcpFind walks a path. A folder is found with and without a slash at the end, a value only without.
func gcpFind(n any, path string) (any, bool) {
	for path != "" {
		name, rest, slash := strings.Cut(path, "/")
		kid, ok := gcpKid(n, name)
		if _, isLeaf := gcpText(kid); !ok || slash && isLeaf {
			return nil, false
		}
		n, path = kid, rest
	}
	return n, true
}

func gcpKid(n any, name string) (any, bool) {
	switch n := n.(type) {
	case gcpNames:
		return gcpKid(n.gcpObject, name)
	case gcpObject:
		if i := slices.IndexFunc(n, func(m gcpMember) bool { return m.name == name }); i >= 0 {
			return n[i].value, true
		}
	case gcpList:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n) && strconv.Itoa(i) == name {
			return n[i], true
		}
	}
	return nil, false
}

// gcpText is the value of a leaf, or what a folder lists.
func gcpText(n any) (text string, isLeaf bool) {
	var b strings.Builder
	line := func(name string, kid any) {
		if _, isLeaf := gcpText(kid); !isLeaf {
			name += "/"
		}
		b.WriteString(name + "\n")
	}
	switch n := n.(type) {
	case gcpNames:
		return gcpText(n.gcpObject)
	case gcpObject:
		for _, m := range n {
			line(m.name, m.value)
		}
	case gcpList:
		for i, kid := range n {
			line(strconv.Itoa(i), kid)
		}
	default:
		return fmt.Sprint(n), true
	}
	return b.String(), false
}

// MarshalJSON writes the names together: network-interfaces is networkInterfaces.
func (o gcpObject) MarshalJSON() ([]byte, error) {
	members := map[string]any{}
	for _, m := range o {
		words := strings.Split(m.name, "-")
		for i, w := range words[1:] {
			words[i+1] = strings.ToUpper(w[:1]) + w[1:]
		}
		members[strings.Join(words, "")] = m.value
	}
	return json.Marshal(members)
}

// MarshalJSON leaves the names as they are.
func (o gcpNames) MarshalJSON() ([]byte, error) {
	members := map[string]any{}
	for _, m := range o.gcpObject {
		members[m.name] = m.value
	}
	return json.Marshal(members)
}

func gcpJSON(n any) []byte {
	b, err := json.Marshal(n)
	if err != nil {
		panic(fmt.Sprintf("a document of strings and numbers cannot fail to encode: %v", err))
	}
	return b
}
