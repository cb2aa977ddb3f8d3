package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// How many lines of a log a page shows, and a download has at most.
const (
	logLines      = 200
	logLinesLong  = 2000
	logLinesSaved = 100_000
)

type logView struct {
	serverLine
	Log, LogProblem string
	Lines           int
}

// log shows more of a server's log and follows it.
func (c *Console) log(v *visit) {
	s, err := v.serverNamed(v.r.URL.Query())
	if err != nil {
		v.fail(err)
		return
	}
	page := logView{serverLine: s, Lines: logLinesLong}
	if page.Log, err = v.logOf(serverConfig(s.Host, s.Name), page.Lines); err != nil {
		page.LogProblem = err.Error()
	}
	page.Log = readable(page.Log)
	v.show("log.html", view{Title: "Log of " + s.Name + " on " + s.Host, Section: "/console", Live: true, Content: page})
}

// saveLog sends a server's log as a file.
func (c *Console) saveLog(v *visit) {
	s, err := v.serverNamed(v.r.URL.Query())
	if err != nil {
		v.fail(err)
		return
	}
	text, err := v.logOf(serverConfig(s.Host, s.Name), logLinesSaved)
	if err != nil {
		v.fail(err)
		return
	}
	v.attach(s.Host+"-"+s.Name+".log", "text/plain; charset=utf-8")
	_, _ = v.w.Write([]byte(text)) // the browser has gone: nobody is left to be told
}

// logOf is the end of a server's log; the host sends it in pieces.
func (v *visit) logOf(at profiles.Address, lines int) (string, error) {
	var text strings.Builder
	_, err := v.execute(v.r.Context(), api.Inside{
		Again:     v.refresh(),
		Operation: profiles.Operation{Name: "read-log", Address: at, Params: map[string]any{"lines": int64(lines), "timeout": int64(5)}},
		Emit: func(event any) error {
			var piece struct{ Log string }
			err := reread(event, &piece)
			text.WriteString(piece.Log)
			return err
		},
	})
	return text.String(), err
}

// attach makes the answer a file. Its name has what a file's name may have
// everywhere; the rest becomes a dash.
func (v *visit) attach(name, media string) {
	safe := strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return r
		}
		return '-'
	}, name)
	v.w.Header().Set("Content-Type", media)
	v.w.Header().Set("Content-Disposition", "attachment; filename="+strconv.Quote(safe))
}

// supportBundle sends the domain's support bundle, or a host's, as a file.
func (c *Console) supportBundle(v *visit) {
	op := profiles.Operation{Name: "support-bundle"}
	name := "gatehouse-support-" + v.config.Clock.Now().UTC().Format("20060102T150405Z")
	if host := v.r.PostForm.Get("host"); host != "" {
		op.Address = profiles.Address{{Type: "host", Name: host}}
		name += "-" + host
	}
	begun := false
	_, err := v.execute(v.r.Context(), api.Inside{Operation: op, Emit: func(event any) error {
		var piece struct{ Chunk []byte }
		if err := reread(event, &piece); err != nil {
			return err
		}
		if !begun {
			begun = true
			v.attach(name+".tar.gz", "application/gzip")
		}
		_, err := v.w.Write(piece.Chunk)
		return err
	}})
	switch {
	case !begun && err == nil:
		v.fail(problem.Internal.Errorf("cannot make the support bundle: it is empty"))
	case !begun:
		v.fail(err)
	case err != nil:
		// Half a file must not look like a whole one: the connection breaks off.
		v.config.Log.Warn().Err(err).Str("user", v.caller.Name).Msg("a support bundle was cut short")
		_ = http.NewResponseController(v.w).SetWriteDeadline(time.Unix(1, 0)) // where it cannot, gzip tells
	}
}

// LogPage is where more of the server's log is shown, LogFile where it is saved.
func (s serverLine) LogPage() string { return s.at("/console/log") }

// LogFile is where the log is saved from.
func (s serverLine) LogFile() string { return s.at("/console/log/file") }

func (s serverLine) at(page string) string {
	return page + "?" + url.Values{"host": {s.Host}, "name": {s.Name}}.Encode()
}
