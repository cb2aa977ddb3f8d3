package operations

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
)

// line is a piece of a server's log.
type line struct {
	Host   string `json:"host"`
	Server string `json:"server"`
	Log    string `json:"log"`
}

// followLimit is how long a log is followed at the most.
const followLimit = 24 * time.Hour

// readLog gives the last lines of what a server writes to its output, as events
// to those who follow, and the following ones with follow:
// :read-log(lines=50, follow=true).
func (d *Desk) readLog(ctx context.Context, r request) (api.Response, error) {
	r.op.Params["lines"] = r.number("lines", 50)
	r.op.Params["follow"] = r.emit != nil && r.op.Params["follow"] == true
	return d.readLogs(ctx, r, d.below(r.op.Address))
}

// logFiles lists a server's log files, or reads one of them: :list-log-files,
// :read-log-file(name=server.log.1.gz, lines=100, skip=0, tail=true).
func (d *Desk) logFiles(ctx context.Context, r request) (api.Response, error) {
	if r.op.Name == "read-log-file" {
		if _, err := r.required("name", "server.log"); err != nil {
			return api.Response{}, err
		}
		r.op.Params["follow"] = r.emit != nil && r.op.Params["follow"] == true
	}
	return d.readLogs(ctx, r, d.below(r.op.Address[:2]))
}

// readLogs gives each server the order that the operation is, and their answers:
// one, or a list of {address, outcome, result} when wildcards asked for several.
func (d *Desk) readLogs(ctx context.Context, r request, list []server) (api.Response, error) {
	if len(list) == 0 && !r.op.Address.HasWildcard() {
		return api.Response{}, problem.NotFound.Errorf("cannot run %s: there is no server at %s", r.op.Name, r.op.Address)
	}
	var emitting sync.Mutex // one event at a time
	results := make([]any, len(list))
	errs := make([]error, len(list))
	var readers sync.WaitGroup
	for i, s := range list {
		readers.Go(func() { results[i], errs[i] = d.readOne(ctx, r, s, &emitting) })
	}
	readers.Wait()
	if !r.op.Address.HasWildcard() {
		return api.Response{Result: results[0]}, errs[0]
	}
	answers := make([]any, len(list))
	for i, s := range list {
		at := slices.Clone(r.op.Address)
		at[0].Name, at[1].Name = s.host, s.name
		answers[i] = map[string]any{"address": at, "outcome": "success", "result": results[i]}
		if errs[i] != nil {
			answers[i] = map[string]any{"address": at, "outcome": "failed", "failure-description": errs[i].Error()}
		}
	}
	return api.Response{Result: answers}, nil
}

// readOne has one server's host carry the order out. What it writes goes to those
// who follow, else it is the result.
func (d *Desk) readOne(ctx context.Context, r request, s server, emitting *sync.Mutex) (any, error) {
	order := publisher.Order{Kind: r.op.Name, Server: s.name, Timeout: r.timeout(orderTimeout), Parameters: r.op.Params}
	if r.op.Params["follow"] == true {
		order.Timeout = r.timeout(followLimit)
	}
	events := make(chan []byte, 256)
	order.Output = func(chunk []byte) {
		select {
		case events <- chunk:
		default: // a reader that is slower than the log loses pieces of it
		}
	}
	var written strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		for chunk := range events {
			if r.emit == nil {
				written.Write(chunk)
				continue
			}
			emitting.Lock()
			_ = r.emit(line{s.host, s.name, string(chunk)})
			emitting.Unlock()
		}
	}()
	answer, err := d.publisher.Order(ctx, s.host, order)
	close(events)
	<-done
	if text := written.String(); text != "" {
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), err
	}
	var result any
	if len(answer) > 0 && string(answer) != "{}" {
		result = json.RawMessage(answer)
	}
	return result, err
}
