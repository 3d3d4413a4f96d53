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

// wiredRefusal is a refusal as a client sees it.
type wiredRefusal struct {
	Code    int    `json:"code"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

func invalid(format string, args ...any) error {
	return cloud.Refusal{Code: http.StatusBadRequest, Status: cloud.StatusInvalid, Message: fmt.Sprintf(format, args...)}
}

func denied(format string, args ...any) error {
	return cloud.Refusal{Code: http.StatusForbidden, Status: "PERMISSION_DENIED", Message: fmt.Sprintf(format, args...)}
}

func unauthenticated(format string, args ...any) error {
	return cloud.Refusal{Code: http.StatusUnauthorized, Status: "UNAUTHENTICATED", Message: fmt.Sprintf(format, args...)}
}

// notFound says it in the words of JD's documents.
func notFound(resource string) error {
	return cloud.Refusal{Code: http.StatusNotFound, Status: cloud.StatusNotFound, Message: fmt.Sprintf("Resource '%s' not found", resource)}
}

// refusalOf is how a client sees err: a refusal in the words of who refuses.
func refusalOf(err error) cloud.Refusal {
	if r, ok := errors.AsType[cloud.Refusal](err); ok {
		return r
	}
	return cloud.Refusal{Code: http.StatusInternalServerError, Status: "INTERNAL", Message: err.Error()}
}

// empty is the result of an operation that has nothing to tell.
type empty struct{}

func writeEnvelope(w http.ResponseWriter, requestID string, result any, err error) {
	var envelope struct {
		RequestID string        `json:"requestId"`
		Error     *wiredRefusal `json:"error,omitempty"`
		Result    any           `json:"result,omitempty"`
	}
	envelope.RequestID = requestID
	code := http.StatusOK
	if err != nil {
		r := wiredRefusal(refusalOf(err))
		envelope.Error, code = &r, r.Code
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
