package hostagent

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/logfiles"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// logFiles lists the log files of a server, or reads one: its result is JSON, the
// list of files or of lines. One that is followed goes to output instead.
func (a *Agent) logFiles(ctx context.Context, o *hostlink.Order, p parameters, output func([]byte) error) ([]byte, error) {
	dir, err := a.supervisor.LogDir(o.GetServer())
	if err != nil {
		return nil, err
	}
	var result any
	if o.GetKind() == "list-log-files" {
		result, err = logfiles.List(dir)
	} else {
		query := logfiles.Query{Lines: defaultLines, Skip: p.Skip, Tail: p.Tail == nil || *p.Tail}
		if p.Lines != nil {
			query.Lines = *p.Lines
		}
		lines, position, err := logfiles.Read(dir, p.Name, query)
		if err != nil {
			return nil, err
		}
		if p.Follow {
			if len(lines) > 0 {
				err = output([]byte(strings.Join(lines, "\n") + "\n"))
			}
			if err == nil {
				err = logfiles.Follow(ctx, a.config.Clock, dir, p.Name, position, output)
			}
			return nil, err
		}
		result = lines
	}
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(result)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot encode log lines: %w", err)
	}
	return text, nil
}
