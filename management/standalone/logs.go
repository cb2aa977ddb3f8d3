package standalone

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/internal/logfiles"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// defaultLines is how many lines are read where nobody says.
const defaultLines = 50

func (m *Model) logFiles(op profiles.Operation) (any, error) {
	switch {
	case m.config.Logs == "":
		return nil, problem.Precondition.Errorf("cannot run %s: no server runs from this file", op.Name)
	case op.Name == "list-log-files":
		return logfiles.List(m.config.Logs)
	}
	lines, _, err := m.readLog(op)
	return lines, err
}

func (m *Model) readLog(op profiles.Operation) ([]string, int64, error) {
	if name(op) == "" {
		return nil, 0, problem.Invalid.Errorf("cannot read a log file: parameter name is missing (see :list-log-files)")
	}
	query := logfiles.Query{Lines: defaultLines, Tail: op.Params["tail"] != false}
	if n, ok := op.Params["lines"].(int64); ok {
		query.Lines = int(n)
	}
	if n, ok := op.Params["skip"].(int64); ok {
		query.Skip = int(n)
	}
	return logfiles.Read(m.config.Logs, name(op), query)
}

// followLog gives what is added to a log file as events, and its last lines when
// it is over.
func (m *Model) followLog(ctx context.Context, op profiles.Operation, emit func(any) error) (response api.Response, err error) {
	if op.Params, err = profiles.Standalone.Parameters(op); err != nil {
		return response, err
	}
	if m.config.Logs == "" {
		return response, problem.Precondition.Errorf("cannot follow a log: no server runs from this file")
	}
	lines, position, err := m.readLog(op)
	if err != nil {
		return response, err
	}
	for _, line := range lines {
		if err := emit(map[string]any{"log": line + "\n"}); err != nil {
			return response, err
		}
	}
	return response, logfiles.Follow(ctx, m.config.Clock, m.config.Logs, name(op), position, func(piece []byte) error {
		return emit(map[string]any{"log": string(piece)})
	})
}
