package boot

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// accessPattern is the form of a host's access log; "" is none.
func accessPattern(cfg servergroups.ServerConfig, host string) (string, error) {
	at := hostPath(cfg, host, "setting", "access-log")
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
