package predicate

import (
	"net"
	"net/http"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// value is a text with parts from the request.
type value []part

type part struct {
	text string                                        // as it is
	of   func(*http.Request) (text string, there bool) // nil: text
}

// in gives the text for a request. there is false when a part of the request
// that it names is missing.
func (v value) in(r *http.Request) (text string, there bool) {
	if len(v) == 1 && v[0].of == nil {
		return v[0].text, true
	}
	there = true
	var b strings.Builder
	for _, p := range v {
		if p.of == nil {
			b.WriteString(p.text)
			continue
		}
		text, ok := p.of(r)
		b.WriteString(text)
		there = there && ok
	}
	return b.String(), there
}

// literal is the text of a value that takes nothing from the request.
func (v value) literal() (string, bool) {
	if len(v) == 1 && v[0].of == nil {
		return v[0].text, true
	}
	return "", false
}

// readValue reads the attributes in a text; %% is a percent sign.
func readValue(text string) (value, error) {
	var v value
	plain := func(s string) {
		if n := len(v); n > 0 && v[n-1].of == nil {
			v[n-1].text += s
		} else {
			v = append(v, part{text: s})
		}
	}
	for {
		before, after, found := strings.Cut(text, "%")
		if before != "" || !found && len(v) == 0 {
			plain(before)
		}
		if !found {
			return v, nil
		}
		name, rest := after[:min(1, len(after))], after[min(1, len(after)):]
		switch {
		case name == "%":
			plain("%")
			text = rest
			continue
		case name == "{":
			name, rest, found = strings.Cut(rest, "}")
			if !found {
				return nil, problem.Invalid.Errorf("%q has a %%{ without }", text)
			}
		}
		of, err := attribute(name)
		if err != nil {
			return nil, err
		}
		v = append(v, part{of: of})
		text = rest
	}
}

// attribute is a part of the request by its short or long name.
func attribute(name string) (func(*http.Request) (string, bool), error) {
	if kind, of, two := strings.Cut(name, ","); two && of != "" {
		switch kind {
		case "i":
			return func(r *http.Request) (string, bool) { return header(r, of) }, nil
		case "c":
			return func(r *http.Request) (string, bool) {
				c, err := r.Cookie(of)
				if err != nil {
					return "", false
				}
				return c.Value, true
			}, nil
		case "q":
			return func(r *http.Request) (string, bool) {
				q := r.URL.Query()
				return q.Get(of), q.Has(of)
			}, nil
		}
	}
	always := func(f func(*http.Request) string) (func(*http.Request) (string, bool), error) {
		return func(r *http.Request) (string, bool) { return f(r), true }, nil
	}
	switch name {
	case "m", "METHOD":
		return always(func(r *http.Request) string { return r.Method })
	case "U", "REQUEST_URL", "R", "RELATIVE_PATH":
		return always(path)
	case "q", "QUERY_STRING":
		return always(func(r *http.Request) string { return r.URL.RawQuery })
	case "H", "PROTOCOL":
		return always(func(r *http.Request) string { return r.Proto })
	case "v", "LOCAL_SERVER_NAME":
		return always(func(r *http.Request) string { return hostname(r.Host) })
	case "a", "REMOTE_IP":
		return always(func(r *http.Request) string { return hostname(r.RemoteAddr) })
	case "SCHEME":
		return always(func(r *http.Request) string {
			if r.TLS != nil {
				return "https"
			}
			return "http"
		})
	}
	return nil, problem.Invalid.Errorf("there is no attribute %q of a request (valid: %%{i,Header}, %%{c,Cookie}, %%{q,parameter}, %%m, %%U, %%R, %%q, %%H, %%v, %%a, %%{SCHEME})", "%{"+name+"}")
}

// header is a header's values; Host is one that net/http keeps apart.
func header(r *http.Request, name string) (string, bool) {
	if strings.EqualFold(name, "Host") {
		return r.Host, r.Host != ""
	}
	values := r.Header.Values(name)
	return strings.Join(values, ", "), len(values) > 0
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// path is the request's path, without escapes.
func path(r *http.Request) string { return r.URL.Path }
