package agent

import (
	"errors"
	"fmt"
	"io/fs"
)

// ConfigError is what is wrong with a configuration: a command exits with 2 on it.
type ConfigError struct {
	File         string
	Line, Column int    // from 1, in characters; 0 where the file could not be read
	Key          string // the way to the value: "interfaces[0].match.mac", "" for the whole file
	Text         string // what is wrong, and what would be right
	Err          error  // the cause, where there is one
}

// Error is one line: file:line:column: key: text.
func (e *ConfigError) Error() string {
	s := e.File
	if e.Line > 0 {
		s = fmt.Sprintf("%s:%d:%d", s, e.Line, e.Column)
	}
	if e.Key != "" {
		s += ": " + e.Key
	}
	s += ": " + e.Text
	if e.Err != nil {
		s += ": " + reason(e.Err).Error()
	}
	return s
}

// Unwrap gives errors.Is the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// reason leaves out the file's name, which the error already begins with.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
