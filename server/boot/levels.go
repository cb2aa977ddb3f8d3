package boot

import (
	"sync/atomic"

	"github.com/rs/zerolog"
)

// levels is a logger whose level can be changed while it is in use.
type levels struct {
	log zerolog.Logger
	at  *atomic.Int32
}

// newLevels makes one that begins at log's level.
func newLevels(log zerolog.Logger) *levels {
	l := &levels{at: &atomic.Int32{}}
	l.set(log.GetLevel())
	l.log = log.Level(zerolog.TraceLevel).Hook(zerolog.HookFunc(func(e *zerolog.Event, level zerolog.Level, _ string) {
		if level != zerolog.NoLevel && int32(level) < l.at.Load() {
			e.Discard()
		}
	}))
	return l
}

// set changes the least level that is written.
func (l *levels) set(level zerolog.Level) { l.at.Store(int32(level)) }
