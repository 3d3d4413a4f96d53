package cloud

import (
	"errors"
	"fmt"
	"net/http"
)

// The kinds of refusal. Every error of a Cloud's methods wraps one of them, unless
// the state file could not be written, and then nothing has changed.
var (
	ErrNotFound     = errors.New("not found")
	ErrInvalid      = errors.New("invalid argument")
	ErrConflict     = errors.New("already in use")
	ErrPrecondition = errors.New("not allowed now")
)

// Refusal is why the cloud does not do what it was asked, as JD Cloud's OpenAPI
// says it. Code, Status and Message are those of JD Cloud's API manual where
// it names them; errors.As finds it in the errors of all methods.
type Refusal struct {
	Code    int    // HTTP status
	Status  string // one of the Status constants
	Message string
}

// The values of Refusal.Status.
const (
	StatusInvalid      = "INVALID_ARGUMENT"
	StatusPrecondition = "FAILED_PRECONDITION"
	StatusNotFound     = "NOT_FOUND"
	StatusConflict     = "ALREADY_EXISTS"
	StatusQuota        = "QUOTA_EXCEEDED"
)

// Error is the message.
func (r Refusal) Error() string { return r.Message }

// Unwrap is the kind of the refusal: one of the Err values.
func (r Refusal) Unwrap() error {
	switch r.Status {
	case StatusNotFound:
		return ErrNotFound
	case StatusConflict:
		return ErrConflict
	case StatusInvalid:
		return ErrInvalid
	default:
		return ErrPrecondition
	}
}

// notFound names the parameter whose value does not exist.
func notFound(parameter string) Refusal {
	return Refusal{http.StatusNotFound, StatusNotFound, fmt.Sprintf("Resource '%s' not found", parameter)}
}

// used names the parameter whose value another has.
func used(parameter string) Refusal {
	return Refusal{http.StatusConflict, StatusConflict, fmt.Sprintf("Resource '%s' already be used", parameter)}
}

func conflict(format string, args ...any) Refusal {
	return Refusal{http.StatusConflict, StatusConflict, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) Refusal {
	return Refusal{http.StatusBadRequest, StatusInvalid, fmt.Sprintf(format, args...)}
}

func precondition(format string, args ...any) Refusal {
	return Refusal{http.StatusBadRequest, StatusPrecondition, fmt.Sprintf(format, args...)}
}

func exceeded(what string) Refusal {
	return Refusal{http.StatusTooManyRequests, StatusQuota, what + " quota limit exceeded"}
}
