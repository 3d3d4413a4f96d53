package jdcloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"enid/metadata"

	"github.com/jdcloud-api/jdcloud-sdk-go/core"
)

// OpenAPIEndpoint is where JD Cloud's VPC service answers.
const OpenAPIEndpoint = "https://vpc.jdcloud-api.com"

const (
	apiService = "vpc" // the service's name in signatures
	apiConnect = 2 * time.Second
	apiRequest = 3 * time.Second // connection, headers and body
	apiIdle    = 5 * time.Second // of a connection: long enough for the requests of one question
	apiHeaders = 64 << 10        // bytes
	apiBody    = 1 << 20         // bytes: a page of 100 ENIs with 21 addresses each is a quarter of it
)

// apiError is a refusal of the OpenAPI: the envelope's code, status and message, or the HTTP status alone.
type apiError struct {
	Code    int    `json:"code"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

// Error is what the service said.
func (e *apiError) Error() string {
	s := strings.TrimSpace(fmt.Sprintf("answered %d %.40s", e.Code, e.Status))
	if e.Message != "" {
		s += fmt.Sprintf(": %.200q", e.Message)
	}
	return s
}

// denied reports a refusal of the credentials.
func denied(err error) bool {
	e, ok := errors.AsType[*apiError](err)
	return ok && (e.Code == http.StatusUnauthorized || e.Code == http.StatusForbidden)
}

var (
	errNotJSON = errors.New("the answer is not the JSON of an OpenAPI; something stands between this host and it")
	errAPISize = fmt.Errorf("answered more than %d bytes; that is no answer to what was asked", apiBody)
)

// apiClient sends signed requests to the OpenAPI. The SDK makes their paths and signatures, and describes what is
// asked. It does not send them: its client makes an http.Client of its own for every request, which takes a
// proxy from the environment, follows redirects with the session token in a header, keeps no connection,
// reads answers of any size and cannot be stopped by a context.
type apiClient struct {
	base string // scheme://host[:port]
	http *http.Client

	mu      sync.Mutex
	results map[string]uint64
}

func newAPIClient(endpoint string) *apiClient {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &apiClient{base: endpoint, results: map[string]uint64{}, http: &http.Client{
		Transport: &http.Transport{ // without a Proxy
			DialContext:            (&net.Dialer{Timeout: apiConnect}).DialContext,
			TLSHandshakeTimeout:    apiConnect,
			Protocols:              protocols,
			MaxIdleConns:           1,
			IdleConnTimeout:        apiIdle,
			MaxResponseHeaderBytes: apiHeaders,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// requests counts the requests made so far by result, each with the prefix that tells them from the
// metadata's.
func (c *apiClient) requests() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.results)
}

// get is the member "result" of the answer.
func (c *apiClient) get(ctx context.Context, request core.RequestInterface, with credentials) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, apiRequest)
	defer cancel()
	path, err := apiPath(request)
	if err != nil {
		return nil, fmt.Errorf("OpenAPI %s: %w", c.base, err)
	}
	answer, err := c.exchange(ctx, path, request.GetRegionId(), with)
	c.mu.Lock()
	c.results["openapi-"+apiResult(err)]++
	c.mu.Unlock()
	if err != nil {
		path, _, _ = strings.Cut(path, "?")
		return nil, fmt.Errorf("OpenAPI %s: GET %s: %w", c.base, path, err)
	}
	return answer, nil
}

// apiPath is the path and query of a request, by the SDK.
func apiPath(request core.RequestInterface) (string, error) {
	parameters, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	path, err := core.GetParameterBuilder(request.GetMethod(), core.NewDummyLogger()).BuildURL(request.GetURL(), parameters)
	return "/" + request.GetVersion() + path, err
}

func (c *apiClient) exchange(ctx context.Context, path, region string, with credentials) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	if err := sign(req, region, with); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, metadata.PlainError(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, apiBody+1))
	switch {
	case err != nil && resp.StatusCode == http.StatusOK:
		return nil, metadata.PlainError(err)
	case len(body) > apiBody:
		return nil, errAPISize
	}
	return open(resp.StatusCode, body)
}

// sign adds the headers that prove who asks: those of the SDK's client (base64 of the session token), signed by
// the SDK's signer. Its default logger would print the signatures.
func sign(req *http.Request, region string, with credentials) error {
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "enid") // not signed
	secret := with.parts()
	if secret.sessionToken != "" {
		req.Header.Set("x-jdcloud-security-token", base64.StdEncoding.EncodeToString([]byte(secret.sessionToken)))
	}
	signer := core.NewSigner(*core.NewCredentials(secret.accessKey, secret.secretKey), core.NewDummyLogger())
	_, err := signer.Sign(req, strings.NewReader(""), apiService, region, time.Now())
	return err
}

// open takes the result out of its envelope. The service tells a refusal by the HTTP status and by the
// member "error"; either is enough.
func open(status int, body []byte) (json.RawMessage, error) {
	var envelope struct {
		Error  *apiError
		Result json.RawMessage
	}
	err := json.Unmarshal(body, &envelope)
	switch {
	case err == nil && envelope.Error != nil && envelope.Error.Code != 0:
		return nil, envelope.Error
	case status != http.StatusOK:
		return nil, &apiError{Code: status, Status: http.StatusText(status)}
	case err != nil || len(envelope.Result) == 0:
		return nil, errNotJSON
	}
	return envelope.Result, nil
}

func apiResult(err error) string {
	refusal, refused := errors.AsType[*apiError](err)
	switch {
	case err == nil:
		return "200"
	case refused:
		return strconv.Itoa(refusal.Code)
	case errors.Is(err, errNotJSON):
		return "bad-answer"
	case errors.Is(err, errAPISize):
		return "too-long"
	case metadata.TimedOut(err):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "error"
}

// gate keeps a question that failed from being asked again too soon, the longer the more often it failed in
// a row. Meanwhile its answer is the failure: what was answered before is not used any more, so that what it would say is
// unknown, and the one who acts on it holds what it has and knows that it does.
type gate struct {
	err     error
	until   time.Time
	backoff metadata.Backoff
}

func newGate() gate {
	return gate{backoff: metadata.Backoff{Min: 10 * time.Second, Max: 5 * time.Minute}}
}

// try asks, unless it is too soon. A question that the caller gave up is neither a success nor a failure, and for the sake of a
// missing role nobody waits: whether there is one is asked of the metadata, which is asked anyway.
func (g *gate) try(ctx context.Context, ask func() error) error {
	if time.Now().Before(g.until) {
		return g.err
	}
	err := ask()
	if errors.Is(err, errNoRole) || err != nil && context.Cause(ctx) == context.Canceled {
		return err
	}
	if g.err = err; err == nil {
		g.backoff.Reset()
		return nil
	}
	g.until = time.Now().Add(g.backoff.Next())
	return err
}
