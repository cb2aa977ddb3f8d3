package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// HTTP is the interface over HTTP, to be served over TLS:
//
//	POST /management                 one operation in JSON, as WildFly takes it;
//	                                 with Accept: application/x-ndjson its events, one a line
//	GET  /management/<type>/<name>/...?operation=attribute&name=...
//	                                 one read; the result alone
//	POST /management/session         a bearer token for basic authentication
//	GET  /management/openapi.json    the description of all this
//	GET  /metrics, /health
//
// Callers authenticate with a bearer token or basic authentication; /health
// needs neither. Over HTTP/2 the same port answers the gRPC service, so that
// the command line and a browser are given one address.
func (i *Interface) HTTP() http.Handler {
	native := grpc.NewServer(Options()...)
	i.Register(native)
	web := i.web()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			native.ServeHTTP(w, r)
			return
		}
		web.ServeHTTP(w, r)
	})
}

func (i *Interface) web() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /management", i.authenticated(i.post))
	mux.Handle("POST /management/session", i.authenticated(i.session))
	mux.Handle("GET /management/openapi.json", i.authenticated(i.openAPI))
	mux.Handle("GET /management", i.authenticated(i.get))
	mux.Handle("GET /management/{address...}", i.authenticated(i.get))
	mux.HandleFunc("GET /health", i.health)
	if i.config.Metrics != nil {
		metrics := promhttp.HandlerFor(i.config.Metrics, promhttp.HandlerOpts{})
		mux.Handle("GET /metrics", i.authenticated(func(w http.ResponseWriter, r *http.Request, _ access.Caller) {
			metrics.ServeHTTP(w, r)
		}))
	}
	return mux
}

type authenticatedHandler func(http.ResponseWriter, *http.Request, access.Caller)

// authenticated finds the caller and refuses requests that another site's page
// made a browser send.
func (i *Interface) authenticated(h authenticatedHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := sameOrigin(r); err != nil {
			i.refuse(r.RemoteAddr, "http", err)
			writeFailure(w, err)
			return
		}
		caller, err := i.callerOf(r)
		if err != nil {
			i.refuse(r.RemoteAddr, "http", err)
			w.Header().Set("WWW-Authenticate", `Basic realm="ManagementRealm", charset="UTF-8"`)
			writeFailure(w, err)
			return
		}
		caller.Remote = r.RemoteAddr
		h(w, r, caller)
	})
}

func sameOrigin(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	if u, err := url.Parse(origin); err == nil && u.Host == r.Host {
		return nil
	}
	return problem.Forbidden.Errorf("cannot take a request of the origin %q: the interface serves %q only", origin, r.Host)
}

func (i *Interface) callerOf(r *http.Request) (access.Caller, error) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return i.sessions.Bearer(r.Context(), token)
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return access.Caller{}, problem.Unauthorized.Errorf("cannot serve an unknown caller: use basic authentication or a bearer token")
	}
	return i.sessions.Basic(r.Context(), name, password)
}

// session answers with a token, {"token": ..., "expires": Unix seconds}.
func (i *Interface) session(w http.ResponseWriter, r *http.Request, c access.Caller) {
	if c.Mechanism != access.Basic {
		writeFailure(w, problem.Invalid.Errorf("cannot open a session with a session's token: use basic authentication"))
		return
	}
	token, expires, err := i.sessions.Open(r.Context(), c)
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"token": token, "expires": expires.Unix()})
}

func (i *Interface) post(w http.ResponseWriter, r *http.Request, caller access.Caller) {
	c := call{caller: caller, via: "http"}
	data, err := body(w, r)
	if err == nil {
		c.op, err = decode(data)
	}
	if err != nil {
		writeFailure(w, err)
		return
	}
	if accepts(r, "application/x-ndjson") {
		i.stream(w, r, c)
		return
	}
	response, err := i.execute(r.Context(), c)
	writeResponse(w, response, err)
}

// body reads an operation; a body over the limit is 413.
func body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// A form or plain text could be sent by any page without asking first.
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" && media != "application/dmr-encoded+json" {
		return nil, problem.Invalid.Errorf("cannot read the operation: Content-Type is %q, want application/json", r.Header.Get("Content-Type"))
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, OperationLimit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, problem.TooLarge.Errorf("cannot take an operation over %d bytes", OperationLimit)
	}
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the operation: %w", err)
	}
	return data, nil
}

// stream follows an operation; the last line is its response.
func (i *Interface) stream(w http.ResponseWriter, r *http.Request, c call) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	line := func(data []byte) error {
		if _, err := w.Write(append(data, '\n')); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	}
	c.emit = func(event any) error {
		data, err := marshalEvent(event)
		if err != nil {
			return err
		}
		return line(data)
	}
	response, err := i.execute(r.Context(), c)
	data, err := encode(response, err)
	if err == nil {
		err = line(data)
	}
	if err != nil {
		i.config.Log.Debug().Err(err).Msg("management stream ended early")
	}
}

// shortNames are WildFly's names of reads in a GET's parameter operation.
var shortNames = map[string]string{
	"":                      "read-resource",
	"resource":              "read-resource",
	"attribute":             "read-attribute",
	"resource-description":  "read-resource-description",
	"operation-description": "read-operation-description",
	"operation-names":       "read-operation-names",
}

// get runs a read; its parameters are those of the query.
func (i *Interface) get(w http.ResponseWriter, r *http.Request, caller access.Caller) {
	op, err := readOf(r.PathValue("address"), r.URL.Query())
	if err != nil {
		writeFailure(w, err)
		return
	}
	response, err := i.execute(r.Context(), call{caller: caller, via: "http", op: op})
	if err != nil {
		writeFailure(w, err)
		return
	}
	if response.Revision != 0 {
		w.Header().Set("ETag", `"`+revisionText(response.Revision)+`"`)
	}
	writeJSON(w, http.StatusOK, response.Result)
}

func readOf(path string, query url.Values) (profiles.Operation, error) {
	op := profiles.Operation{Params: map[string]any{}}
	steps := strings.Split(strings.Trim(path, "/"), "/")
	if steps[0] == "" {
		steps = nil
	}
	if len(steps)%2 != 0 {
		return op, problem.Invalid.Errorf("cannot read the address %q: want /<type>/<name>/<type>/<name>, there is no name after %q", path, steps[len(steps)-1])
	}
	for n := 0; n < len(steps); n += 2 {
		op.Address = op.Address.Child(steps[n], steps[n+1])
	}
	op.Name = query.Get("operation")
	if full, ok := shortNames[op.Name]; ok {
		op.Name = full
	}
	for name, values := range query {
		switch text := values[0]; {
		case name == "operation" || name == "json.pretty":
		case text == "true" || text == "false":
			op.Params[name] = text == "true"
		default:
			op.Params[name] = text
		}
	}
	if !op.ReadOnly() {
		return op, problem.Invalid.Errorf("cannot run %q with GET: only reads are; POST the operation to /management", op.Name)
	}
	return op, nil
}

func (i *Interface) health(w http.ResponseWriter, r *http.Request) {
	if i.config.Healthy != nil {
		if err := i.config.Healthy(r.Context()); err != nil {
			writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "DOWN", "reason": err.Error()})
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "UP"})
}

func accepts(r *http.Request, media string) bool {
	return strings.Contains(r.Header.Get("Accept"), media)
}

func writeFailure(w http.ResponseWriter, err error) { writeResponse(w, Response{}, err) }

func writeResponse(w http.ResponseWriter, response Response, err error) {
	status := http.StatusOK
	if err != nil {
		status = problem.KindOf(err).HTTP()
	}
	data, encodeErr := encode(response, err)
	if encodeErr != nil {
		http.Error(w, encodeErr.Error(), http.StatusInternalServerError)
		return
	}
	send(w, status, data)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(value); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, status, b.Bytes())
}

func send(w http.ResponseWriter, status int, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client has gone: nobody is left to be told
}
