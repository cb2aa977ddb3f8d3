package consensus

import (
	"fmt"
	"io"

	"github.com/hashicorp/go-hclog"
	"github.com/rs/zerolog"
)

// hclogger is the logger that the raft library takes.
type hclogger = hclog.Logger

// bridge carries the raft library's lines into a zerolog logger. Its chatter
// about elections and heartbeats is information to it and debugging to us.
func bridge(log zerolog.Logger) hclogger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Debug, Output: io.Discard})
	l.RegisterSink(&sink{log})
	return l
}

type sink struct{ log zerolog.Logger }

// Accept implements hclog.SinkAdapter.
func (s *sink) Accept(name string, level hclog.Level, msg string, args ...any) {
	to := translate(level)
	if to < s.log.GetLevel() {
		return
	}
	e := s.log.WithLevel(to).Str("part", name)
	for i := 0; i+1 < len(args); i += 2 {
		e = e.Str(fmt.Sprint(args[i]), fmt.Sprint(args[i+1]))
	}
	e.Msg(msg)
}

func translate(level hclog.Level) zerolog.Level {
	switch level {
	case hclog.Error:
		return zerolog.WarnLevel
	case hclog.Warn:
		return zerolog.InfoLevel
	case hclog.Info:
		return zerolog.DebugLevel
	}
	return zerolog.TraceLevel
}
