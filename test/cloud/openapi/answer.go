package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"enid/test/cloud"
)

// failure is an error as a client sees it.
type failure struct {
	Code    int    `json:"code"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

func (f failure) Error() string { return fmt.Sprintf("%d %s: %s", f.Code, f.Status, f.Message) }

func invalid(format string, args ...any) error {
	return failure{http.StatusBadRequest, cloud.StatusInvalid, fmt.Sprintf(format, args...)}
}

func denied(format string, args ...any) error {
	return failure{http.StatusForbidden, "PERMISSION_DENIED", fmt.Sprintf(format, args...)}
}

func unauthenticated(format string, args ...any) error {
	return failure{http.StatusUnauthorized, "UNAUTHENTICATED", fmt.Sprintf(format, args...)}
}

// notFound says it in the words of JD's documents.
func notFound(resource string) error {
	return failure{http.StatusNotFound, cloud.StatusNotFound, fmt.Sprintf("Resource '%s' not found", resource)}
}

// asFailure is how a client sees err: a refusal of the cloud in the cloud's own words.
func asFailure(err error) failure {
	var f failure
	var r cloud.Refusal
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &r):
		return failure{r.Code, r.Status, r.Message}
	default:
		return failure{http.StatusInternalServerError, "INTERNAL", err.Error()}
	}
}

// empty is the result of an operation that has nothing to tell.
type empty struct{}

func writeEnvelope(w http.ResponseWriter, requestID string, result any, err error) {
	var envelope struct {
		RequestID string   `json:"requestId"`
		Error     *failure `json:"error,omitempty"`
		Result    any      `json:"result,omitempty"`
	}
	envelope.RequestID = requestID
	code := http.StatusOK
	if err != nil {
		f := asFailure(err)
		envelope.Error, code = &f, f.Code
	} else {
		envelope.Result = result
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Jdcloud-Request-Id", requestID)
	w.WriteHeader(code)
	// A client that went away is no matter of the server.
	_ = json.NewEncoder(w).Encode(envelope)
}

// decode reads a body; an empty one is an empty object. Fields that it does not
// know are left alone: the SDK repeats the parameters of the path in the body.
func decode[T any](body []byte) (T, error) {
	var v T
	if len(bytes.TrimSpace(body)) == 0 {
		return v, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&v); err != nil {
		return v, invalid("body: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, invalid("body: more than one JSON value")
	}
	return v, nil
}
