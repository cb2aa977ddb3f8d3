package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// progress shows the events of an operation that is followed: in place with a
// bar on a terminal, a line each elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	drawn    bool
}

func newProgress(out io.Writer, terminal bool) *progress {
	return &progress{out: out, terminal: terminal}
}

// barWidth is the bar's length, characters.
const barWidth = 30

// event shows one event. Those that count ("done" of "total") draw the bar;
// what else they say (server, phase, message) stands beside it.
func (p *progress) event(event any) error {
	members, ok := event.(map[string]any)
	if !ok {
		_, err := fmt.Fprintln(p.out, event)
		return err
	}
	text := describe(members)
	done, counted := count(members["done"])
	total, totalled := count(members["total"])
	switch {
	case !counted || !totalled || total == 0:
		p.end()
		_, err := fmt.Fprintln(p.out, text)
		return err
	case !p.terminal:
		_, err := fmt.Fprintf(p.out, "%d/%d %s\n", done, total, text)
		return err
	}
	filled := min(barWidth, int(barWidth*done/total))
	_, err := fmt.Fprintf(p.out, "\r\x1b[K[%s%s] %d/%d %s", strings.Repeat("#", filled), strings.Repeat("-", barWidth-filled), done, total, text)
	p.drawn = true
	return err
}

// end leaves the bar's line.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.out)
		p.drawn = false
	}
}

// describe puts an event into words: of which rollout, which server, what.
func describe(members map[string]any) string {
	text := func(name string) string {
		s, _ := members[name].(string)
		return s
	}
	var parts []string
	add := func(part string) {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if server := text("server"); server != "" {
		add(strings.TrimPrefix(text("host")+"/"+server, "/") + ":")
		add(text("phase"))
	} else {
		add(text("rollout"))
		add(text("state"))
	}
	for _, name := range [...]string{"message", "problem", "failure-description"} {
		add(text(name))
	}
	if len(parts) > 0 {
		return strings.Join(parts, " ")
	}
	data, err := json.Marshal(members)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func count(value any) (int64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil && i >= 0
}

// readLogs prints the logs of servers, all at once, each line with its server's
// name when there are several.
func (s *Session) readLogs(ctx context.Context, servers []profiles.Address, params map[string]any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var printing sync.Mutex
	failures := make(chan error, len(servers))
	for _, at := range servers {
		go func() {
			op := s.withHeaders(profiles.Operation{Name: "read-log", Address: at, Params: params})
			_, err := s.target.Follow(ctx, op, func(event any) error {
				printing.Lock()
				defer printing.Unlock()
				return s.printLog(at, event, len(servers) > 1)
			})
			if err != nil {
				cancel()
			}
			failures <- err
		}()
	}
	var first error
	for range servers {
		if err := <-failures; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// followLog prints what an operation that follows a log gives, until it is
// interrupted.
func (s *Session) followLog(ctx context.Context, op profiles.Operation) error {
	if err := s.connected(ctx); err != nil {
		return err
	}
	response, err := s.target.Follow(ctx, s.withHeaders(op), func(event any) error {
		return s.printLog(op.Address, event, op.Address.HasWildcard())
	})
	if err != nil {
		return s.print(response, err)
	}
	return nil
}

func (s *Session) printLog(at profiles.Address, event any, named bool) error {
	members, ok := event.(map[string]any)
	text, isText := members["log"].(string)
	if !ok || !isText {
		return s.printValue(event)
	}
	for line := range strings.Lines(text) {
		if named {
			line = serverOf(at, members) + " " + line
		}
		if !strings.HasSuffix(line, "\n") {
			line += "\n"
		}
		if _, err := io.WriteString(s.settings.Out, line); err != nil {
			return err
		}
	}
	return nil
}

// serverOf names the server of a piece of a log.
func serverOf(at profiles.Address, event map[string]any) string {
	host, onHost := event["host"].(string)
	server, isServer := event["server"].(string)
	if onHost && isServer {
		return host + "/" + server
	}
	return at[0].Name + "/" + at.Last().Name
}
