package metadata

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// parallel is how many requests a Gather has under way. Eight ENIs have some
// seventy keys, which one after the other would take a good part of a poll;
// services throttle clients that open many connections.
const parallel = 4

// Answer is what a service said about one path: a body, or why there is none.
type Answer struct {
	Body string
	Err  error
}

// Absent reports that the service knows no such path. Any other error says
// nothing about what is there.
func (a Answer) Absent() bool { return errors.Is(a.Err, ErrNotFound) }

// Answers are the answers of one Fetch by path. It is what a dialect's parser
// reads, apart from how it was fetched.
type Answers map[string]Answer

// Of is the answer about a path. A path that was not asked for, because its
// directory did not list it, is absent.
func (a Answers) Of(path string) Answer {
	if answer, ok := a[path]; ok {
		return answer
	}
	return Answer{Err: fmt.Errorf("%s is not listed: %w", path, ErrNotFound)}
}

// BadAnswerError is a body that does not hold what its path should.
type BadAnswerError struct {
	Path string
	Err  error
}

// Error names the path and what is wrong.
func (e *BadAnswerError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap is what is wrong.
func (e *BadAnswerError) Unwrap() error { return e.Err }

// Read is the value at a path. The error matches ErrNotFound where the service
// knows no such path; any other, a BadAnswerError among them, means that the value is
// unknown.
func Read[T any](a Answers, path string, parse func(body string) (T, error)) (T, error) {
	answer := a.Of(path)
	if answer.Err != nil {
		return *new(T), answer.Err
	}
	value, err := parse(answer.Body)
	if err != nil {
		return *new(T), &BadAnswerError{path, err}
	}
	return value, nil
}

// Unread is the Problem of a fact that Read could not tell: "propagating" for a
// value that every ENI has and this one has not yet, "bad-answer" for a body that
// is none, "unreadable" for a failed request.
func Unread(iface, field string, err error) Problem {
	reason, remedy := "unreadable", "what is configured is kept until it can be read"
	if _, bad := errors.AsType[*BadAnswerError](err); bad {
		reason = "bad-answer"
	} else if errors.Is(err, ErrNotFound) {
		reason, remedy = "propagating", "usually it is there within half a minute of an attach, and goes some minutes after a detach"
	}
	return Problem{Interface: iface, Field: field, Reason: reason, Text: err.Error() + "; " + remedy}
}

// Word reads a body that is one identifier: printable, without white space inside.
func Word(body string) (string, error) {
	s := strings.TrimSpace(body)
	bad := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if s == "" || len(s) > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, bad) {
		return "", fmt.Errorf("%.80q is not an identifier", s)
	}
	return s, nil
}

// Gather asks for every path with get, a few at a time. One that fails costs the
// others nothing.
func Gather(ctx context.Context, paths []string, get func(ctx context.Context, path string) (string, error)) Answers {
	answers := make([]Answer, len(paths))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, path := range paths {
		group.Go(func() error {
			body, err := get(ctx, path)
			answers[i] = Answer{body, err}
			return nil
		})
	}
	_ = group.Wait() // the errors are in the answers
	byPath := make(Answers, len(paths))
	for i, path := range paths {
		byPath[path] = answers[i]
	}
	return byPath
}
