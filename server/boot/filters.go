package boot

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/zerolog"
	"golang.org/x/net/http/httpguts"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// hostPath is a path below the virtual host that requests are for.
func hostPath(path ...string) []string {
	return append([]string{httpName, listenersPath, defaultServer, "host", "default-host"}, path...)
}

// filters are what every request passes before a server answers it.
type filters struct {
	wrap []func(http.Handler) http.Handler // the outermost first
}

// apply puts the filters before a handler.
func (f filters) apply(h http.Handler) http.Handler {
	for _, wrap := range slices.Backward(f.wrap) {
		h = wrap(h)
	}
	return h
}

// readFilters reads the filters that the host names, by priority: the lower,
// the earlier.
func readFilters(cfg servergroups.ServerConfig) (filters, error) {
	type ref struct {
		name     string
		priority int64
	}
	var refs []ref
	for name := range cfg.Map(hostPath("filter-ref")...) {
		refs = append(refs, ref{name, cfg.Int(1, hostPath("filter-ref", name, "priority")...)})
	}
	slices.SortFunc(refs, func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.name, b.name))
	})
	var f filters
	for _, r := range refs {
		wrap, err := readFilter(cfg, r.name)
		if err != nil {
			return f, err
		}
		if wrap != nil {
			f.wrap = append(f.wrap, wrap)
		}
	}
	return f, nil
}

// readFilter finds a filter by its name, whatever its kind. nil is one that
// does nothing: ProxyPeerAddressHandler is the listener's attribute here.
func readFilter(cfg servergroups.ServerConfig, name string) (func(http.Handler) http.Handler, error) {
	at := func(kind string, attribute ...string) []string {
		return append([]string{httpName, "configuration", "filter", kind, name}, attribute...)
	}
	is := func(kind string) bool { _, ok := cfg.Get(at(kind)...); return ok }
	switch {
	case is("response-header"):
		header, value := cfg.String("", at("response-header", "header-name")...), cfg.String("", at("response-header", "header-value")...)
		if !httpguts.ValidHeaderFieldName(header) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, problem.Invalid.Errorf("cannot use filter %q: %q: %q is no header", name, header, value)
		}
		return func(next http.Handler) http.Handler { return withHeader(header, value, next) }, nil
	case is("request-limit"):
		running, waiting := cfg.Int(1, at("request-limit", "max-concurrent-requests")...), cfg.Int(0, at("request-limit", "queue-size")...)
		return func(next http.Handler) http.Handler { return newRequestLimit(running, waiting, next) }, nil
	case is("gzip"):
		wrap, err := gzhttp.NewWrapper()
		if err != nil {
			return nil, problem.Internal.Errorf("cannot make filter %q: %w", name, err)
		}
		return func(next http.Handler) http.Handler { return wrap(next) }, nil
	case is("custom-filter"):
		if class := cfg.String("", at("custom-filter", "class-name")...); !strings.HasSuffix(class, ".ProxyPeerAddressHandler") {
			return nil, problem.Unsupported.Errorf("cannot use filter %q: there is no class %q (of custom filters there is ProxyPeerAddressHandler)", name, class)
		}
		return nil, nil
	}
	return nil, problem.Invalid.Errorf("cannot use filter %q of the host: /subsystem=http/configuration=filter has none of this name", name)
}

func withHeader(name, value string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		next.ServeHTTP(w, r)
	})
}

// requestLimit lets some requests run and some more wait; the rest is refused.
type requestLimit struct {
	next    http.Handler
	running chan struct{}
	all     chan struct{} // those that run and those that wait
}

// limitCeiling keeps a limit that stands for "any number" from taking memory:
// a slot of an empty struct costs none, but its index must fit.
const limitCeiling = 1 << 30

func newRequestLimit(running, waiting int64, next http.Handler) *requestLimit {
	running = min(max(running, 1), limitCeiling)
	return &requestLimit{next: next,
		running: make(chan struct{}, running), all: make(chan struct{}, running+min(max(waiting, 0), limitCeiling))}
}

func (l *requestLimit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case l.all <- struct{}{}:
		defer func() { <-l.all }()
	default:
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "This server has as many requests as it may have. Please try again.", http.StatusServiceUnavailable)
		return
	}
	select {
	case l.running <- struct{}{}:
		defer func() { <-l.running }()
		l.next.ServeHTTP(w, r)
	case <-r.Context().Done():
	}
}

// accessPattern is the form of an identity server's access log; "" is none.
func accessPattern(cfg servergroups.ServerConfig) (string, error) {
	at := hostPath("setting", "access-log")
	if _, there := cfg.Get(at...); !there || !cfg.Bool(true, append(at, "enabled")...) {
		return "", nil
	}
	switch p := cfg.String("common", append(at, "pattern")...); p {
	case "common", "combined":
		return p, nil
	default:
		return "", problem.Invalid.Errorf("cannot use access-log pattern %q (valid: common, combined)", p)
	}
}

// logAccess writes a line for every request in the Common Log Format, or the
// combined one, which adds Referer and User-Agent. Queries are left out, of the
// Referer too: they carry codes and tokens. remote is who the client is.
func logAccess(log zerolog.Logger, pattern string, c clock.Clock, remote func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, client, path := c.Now(), remote(r), r.URL.EscapedPath()
		out := &counting{ResponseWriter: w}
		defer func() {
			line := fmt.Sprintf("%s - - [%s] %q %d %d", client, start.Format("02/Jan/2006:15:04:05 -0700"), r.Method+" "+path+" "+r.Proto, out.code(), out.bytes)
			if pattern == "combined" {
				referer, _, _ := strings.Cut(r.Referer(), "?")
				line += fmt.Sprintf(" %q %q", dash(referer), dash(r.UserAgent()))
			}
			log.Info().Dur("took", clock.Since(c, start).Round(time.Microsecond)).Msg(line)
		}()
		next.ServeHTTP(out, r)
	})
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// counting notes what was answered.
type counting struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *counting) code() int { return cmp.Or(w.status, http.StatusOK) }

func (w *counting) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *counting) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController flush and hijack.
func (w *counting) Unwrap() http.ResponseWriter { return w.ResponseWriter }
