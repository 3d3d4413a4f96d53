package metadata

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// Once is an identifier that stays the same for as long as this process may run on an instance, such as the instance's
// own: it is asked for until it is told, and kept. The zero Once has not been asked for. It is safe for concurrent use.
type Once struct {
	mu    sync.Mutex
	value string
}

// Get is the identifier, asked for with ask where it is not known yet, and "" where it cannot be had.
func (o *Once) Get(ctx context.Context, ask func(context.Context) (string, error)) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.value != "" {
		return o.value
	}
	body, err := ask(ctx)
	if err != nil {
		return ""
	}
	o.value, _ = Identifier(body)
	return o.value
}

// Identifier is Word for bodies that may be kept: letters, digits, dots, dashes and underscores, so that an error in JSON
// or in XML is none.
func Identifier(body string) (string, error) {
	s, err := Word(body)
	if err == nil && strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
	}) {
		err = errors.New("it has characters that no identifier has")
	}
	if err != nil {
		return "", fmt.Errorf("%.80q: %w", s, err)
	}
	return s, nil
}
