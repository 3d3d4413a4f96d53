package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"enid/test/cloud"
	"enid/test/cloud/openapi"
	"enid/test/rig"
)

//go:embed page
var pageFiles embed.FS

// page shows a cloud to a person, and does to it what a person clicks on.
type page struct {
	cloud *cloud.Cloud
	site  *rig.Site // nil where the cloud has no VMs
}

// handler serves the OpenAPI below /v1/, with the laboratory's key, and everything else for people.
func (p page) handler(api *openapi.Service) (*http.ServeMux, error) {
	api.AddKey(labAccessKey, labSecretKey)
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", api)
	mux.Handle("/", http.FileServerFS(files))
	mux.HandleFunc("GET /lab/state", func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusOK, p.state(r.Context())) })
	mux.HandleFunc("POST /lab/do", p.do)
	return mux, nil
}

// click is an operation with what it needs.
type click struct {
	Operation                           string
	Instance, ENI, Subnet, Address, EIP string
	On                                  bool
}

// do does what was clicked on. Another page in the same browser cannot make it: it asks for a content
// type that a form cannot have, and gives no page leave to send it.
func (p page) do(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" {
		answer(w, http.StatusUnsupportedMediaType, map[string]string{"error": "want application/json"})
		return
	}
	var c click
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&c)
	if err == nil {
		err = c.do(p.cloud)
	}
	switch refused, ok := errors.AsType[cloud.Refusal](err); {
	case ok:
		answer(w, refused.Code, map[string]string{"error": fmt.Sprintf("%s refused: %s (%d %s)", c.Operation, refused.Message, refused.Code, refused.Status)})
	case err != nil:
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
	default:
		answer(w, http.StatusOK, map[string]string{"done": c.Operation})
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that went away is no matter of the server
}
