package boot

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"golang.org/x/net/http/httpguts"

	"github.com/gatehouse-idp/gatehouse/internal/predicate"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// filters are what every request of a host passes before a server answers it.
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

// filterReader reads the filters of the configuration, each once: hosts that
// name one limit share it.
type filterReader struct {
	cfg  servergroups.ServerConfig
	made map[string]func(http.Handler) http.Handler
}

func newFilterReader(cfg servergroups.ServerConfig) filterReader {
	return filterReader{cfg, map[string]func(http.Handler) http.Handler{}}
}

// of reads the filters that a host names, by priority: the lower, the earlier.
func (f filterReader) of(host string) (filters, error) {
	type ref struct {
		name     string
		priority int64
	}
	at := func(name ...string) []string {
		return hostPath(f.cfg, host, append([]string{"filter-ref"}, name...)...)
	}
	var refs []ref
	for name := range f.cfg.Map(at()...) {
		refs = append(refs, ref{name, f.cfg.Int(1, at(name, "priority")...)})
	}
	slices.SortFunc(refs, func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.name, b.name))
	})
	var chain filters
	for _, r := range refs {
		wrap, err := f.filter(r.name)
		if err != nil {
			return chain, err
		}
		if wrap, err = when(f.cfg.String("", at(r.name, "predicate")...), wrap); err != nil {
			return chain, problem.Invalid.Errorf("cannot use filter %q of host %q: %w", r.name, host, err)
		}
		if wrap != nil {
			chain.wrap = append(chain.wrap, wrap)
		}
	}
	return chain, nil
}

// when lets only requests that meet a predicate pass a filter.
func when(text string, filter func(http.Handler) http.Handler) (func(http.Handler) http.Handler, error) {
	if text == "" || filter == nil {
		return filter, nil
	}
	p, err := predicate.Parse(text)
	if err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		filtered := filter(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if p.Match(r) {
				filtered.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

func (f filterReader) filter(name string) (wrap func(http.Handler) http.Handler, err error) {
	wrap, made := f.made[name]
	if !made {
		if wrap, err = readFilter(f.cfg, name); err == nil {
			f.made[name] = wrap
		}
	}
	return wrap, err
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
		return newRequestLimit(running, waiting).before, nil
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
	running chan struct{}
	all     chan struct{} // those that run and those that wait
}

// limitCeiling keeps a limit that stands for "any number" from taking memory:
// a slot of an empty struct costs none, but its index must fit.
const limitCeiling = 1 << 30

func newRequestLimit(running, waiting int64) *requestLimit {
	running = min(max(running, 1), limitCeiling)
	return &requestLimit{
		running: make(chan struct{}, running), all: make(chan struct{}, running+min(max(waiting, 0), limitCeiling))}
}

func (l *requestLimit) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.pass(w, r, next) })
}

func (l *requestLimit) pass(w http.ResponseWriter, r *http.Request, next http.Handler) {
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
		next.ServeHTTP(w, r)
	case <-r.Context().Done():
	}
}
