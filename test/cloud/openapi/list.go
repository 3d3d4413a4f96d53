package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// query are the parameters of a query by name; of a repeated one the last counts.
type query map[string]string

func newQuery(raw string) query {
	q := query{}
	for _, p := range parseQuery(raw) {
		q[p.name] = p.value
	}
	return q
}

func (q query) number(name string, fallback, low, high int) (int, error) {
	text, ok := q[name]
	if !ok {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, invalid("%s %q: want a number from %d to %d", name, text, low, high)
	}
	return n, nil
}

// filter is one condition on a list: a field that has one of the values.
type filter struct {
	name   string
	values []string
}

// filters reads filters.1.name, filters.1.values.1 and so on, as the SDK counts them.
func (q query) filters() ([]filter, error) {
	var out []filter
	for i := 1; ; i++ {
		prefix := fmt.Sprintf("filters.%d.", i)
		name, ok := q[prefix+"name"]
		if !ok {
			return out, nil
		}
		if op := q[prefix+"operator"]; op != "" && op != "eq" {
			return nil, invalid("filter %q: operator %q: want eq", name, op)
		}
		f := filter{name: name}
		for j := 1; ; j++ {
			value, ok := q[fmt.Sprintf("%svalues.%d", prefix, j)]
			if !ok {
				break
			}
			f.values = append(f.values, value)
		}
		if len(f.values) == 0 {
			return nil, invalid("filter %q: want one value at least", name)
		}
		out = append(out, f)
	}
}

// field is what a filter looks at.
type field[T any] struct {
	of   func(T) []string
	part bool // a part of the text is enough
}

func exact[T any](of func(T) string) field[T] {
	return field[T]{of: func(v T) []string { return []string{of(v)} }}
}

func partial[T any](of func(T) string) field[T] {
	return field[T]{of: func(v T) []string { return []string{of(v)} }, part: true}
}

func (f field[T]) match(v T, want []string) bool {
	return slices.ContainsFunc(f.of(v), func(have string) bool {
		return slices.ContainsFunc(want, func(w string) bool { return have == w || f.part && strings.Contains(have, w) })
	})
}

// sizes are the limits of a page.
type sizes struct{ usual, least, most int }

var (
	usualPages  = sizes{20, 10, 100}
	customPages = sizes{10, 1, 10} // describeInstancesCustomData
)

// selected are the items that all filters let through.
func selected[T any](q query, all []T, fields map[string]field[T]) ([]T, error) {
	filters, err := q.filters()
	if err != nil {
		return nil, err
	}
	for _, f := range filters {
		if _, known := fields[f.name]; !known {
			return nil, invalid("filter %q is not known here: use one of %v", f.name, slices.Sorted(maps.Keys(fields)))
		}
	}
	out := []T{} // in JSON a list, never null
	for _, v := range all {
		if !slices.ContainsFunc(filters, func(f filter) bool { return !fields[f.name].match(v, f.values) }) {
			out = append(out, v)
		}
	}
	return out, nil
}

// page is the page of a list that is asked for, and how long the list is. A
// page after the last is the last, as the SDK documents it.
func page[T any](q query, all []T, s sizes) (part []T, total int, err error) {
	size, err := q.number("pageSize", s.usual, s.least, s.most)
	if err != nil {
		return nil, 0, err
	}
	number, err := q.number("pageNumber", 1, 1, 1<<30)
	if err != nil {
		return nil, 0, err
	}
	last := max(1, (len(all)+size-1)/size)
	from := (min(number, last) - 1) * size
	return all[from:min(from+size, len(all))], len(all), nil
}
