package supervisor

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// failedLines is how much of its log a FAILED server shows.
const failedLines = 50

// traceLines is how far the end of a log is searched for the reason of an end:
// Go writes it before the traces of all goroutines.
const traceLines = 2000

// server is one server's goroutine and what it owns. All its fields but the
// first group belong to run: others reach them through post and do.
type server struct {
	config Config
	turns  *turns
	crowd  *crowd
	name   string
	log    *logfile
	inbox  chan func()
	done   chan struct{}
	shown  atomic.Pointer[Status]

	spec    Spec
	status  Status
	process *handle
	ending  bool
	again   bool // start once it has stopped
	queued  bool // start when it is its turn
	tries   int  // respawns in a row
	// working is a command the server has been given and has not answered;
	// its own reports of state mean nothing until then.
	working  bool
	said     string // the last state it reported meanwhile
	reported bool   // the process has introduced itself
	why      string // why we ended the process, where we did
	misses   int    // liveness tries in a row without answer
	killsNow kills  // at the start
	// pending are the timers of the present state, ended when it changes;
	// watches those of the present process.
	pending, watches []context.CancelFunc
	waiting          []*waiter
	// answers are given once the status is shown: whoever has one finds the
	// server as it says.
	answers []func()
}

func newServer(c Config, t *turns, crowd *crowd, spec Spec) *server {
	v := &server{config: c, turns: t, crowd: crowd, name: spec.Name, spec: spec, inbox: make(chan func(), 64), done: make(chan struct{}),
		log: &logfile{path: filepath.Join(spec.Dir, "log", "server.log")}}
	v.status = Status{Name: spec.Name, State: Disabled, Since: c.Clock.Now()}
	if spec.AutoStart {
		v.status.State = Stopped
	}
	v.show()
	return v
}

func (v *server) run() {
	defer close(v.done)
	rotating := v.every(v.config.Timing.Rotate, v.rotate)
	for !v.ending {
		f := <-v.inbox
		before := v.status
		f()
		if v.status != before {
			v.show()
		}
		for _, tell := range v.answers {
			tell()
		}
		v.answers = v.answers[:0]
		v.wake()
	}
	rotating()
	v.turns.end(v)
	v.endAll(&v.pending)
	v.endAll(&v.watches)
	if v.process != nil {
		v.process.release()
	}
	v.wake()
}

// post hands f to the server's goroutine.
func (v *server) post(f func()) {
	select {
	case v.inbox <- f:
	case <-v.done:
	}
}

// do hands f to the server's goroutine and waits until it ran.
func (v *server) do(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	v.post(func() {
		f()
		v.answers = append(v.answers, func() { close(ran) })
	})
	select {
	case <-ran:
		return nil
	case <-v.done:
		return problem.Unavailable.Errorf("cannot reach server %q: its supervision has ended", v.name)
	case <-ctx.Done():
		return problem.Timeout.Errorf("cannot reach server %q: %w", v.name, ctx.Err())
	}
}

func (v *server) snapshot() Status { return *v.shown.Load() }

func (v *server) show() {
	s := v.status
	v.shown.Store(&s)
	v.config.Notify(s)
}

// step takes one transition. An impossible event changes nothing.
func (v *server) step(e Event, message string) error {
	next, err := Next(v.status.State, e)
	if err != nil {
		return problem.Precondition.Errorf("server %q: %w", v.spec.Name, err)
	}
	if next != v.status.State {
		if v.status.State == Starting {
			v.turns.end(v)
		}
		v.endAll(&v.pending)
		v.config.Log.Info().Str("server", v.spec.Name).Str("from", string(v.status.State)).Str("state", string(next)).Str("why", message).Msg("server changes state")
		v.status.State, v.status.Since = next, v.config.Clock.Now()
	}
	v.status.Message = message
	if !next.Running() || next == Stopping {
		v.status.Healthy = false
	}
	return nil
}

func (v *server) redefine(spec Spec) {
	v.spec = spec
	switch {
	case spec.AutoStart && v.status.State == Disabled:
		_ = v.step(Enable, "")
	case !spec.AutoStart && v.status.State == Stopped:
		_ = v.step(Disable, "")
	}
}

// begin starts the server, whose turn it is, unless it is no longer to start or
// has been started otherwise meanwhile.
func (v *server) begin() {
	if !v.queued || v.status.State.Running() {
		v.queued = false
		v.turns.end(v)
		return
	}
	_ = v.enter() // it can be started: it is not running
}

// enter spawns in a turn, which ends when the server is ready or has failed,
// and when it takes long: one that waits for something hinders no other.
func (v *server) enter() error {
	v.queued = false
	err := v.spawn()
	if v.status.State != Starting {
		v.turns.end(v)
		return err
	}
	v.after(&v.pending, v.config.Timing.Turn, func() { v.turns.end(v) })
	return err
}

// spawn starts a process now. A failure to start is an end like any other.
func (v *server) spawn() error {
	if err := v.step(Spawn, "starting"); err != nil {
		return err
	}
	v.why, v.reported, v.killsNow = "", false, killsOf(v.spec.Name)
	token, err := v.config.Link.Expect(v.spec.Name)
	var h *handle
	if err == nil {
		h, err = spawn(v.spec, v.crowd, token, v.log, v.config.Journal, v.config.Clock)
	}
	if err != nil {
		v.ended(Exit{Problem: err.Error()})
		return nil
	}
	v.hold(h)
	return nil
}

func (v *server) adopt(p Process) error {
	h, err := take(p)
	if err != nil {
		if problem.Is(err, problem.NotFound) {
			exit := p.missed(v.spec.LastWords)
			last, _, _ := v.log.tail(traceLines)
			exit.OutOfMemory = exit.ranOutOfMemory(v.spec.Name, kills{machine: machineKills()}, last)
			dissolve(v.spec.Name)
			v.note(&exit)
			v.status.Message = exit.String()
		}
		return err
	}
	if err := v.step(Adopt, "adopted, waiting for its report"); err != nil {
		h.release()
		return err
	}
	v.reported, v.killsNow = false, killsOf(v.spec.Name)
	_ = h.signal(unix.SIGCONT, false) // an agent may have died while it rotated the log
	v.hold(h)
	return nil
}

// hold begins to watch a process.
func (v *server) hold(h *handle) {
	v.process = h
	v.status.PID, v.status.Started = h.PID, h.Started
	words := v.spec.LastWords
	go func() {
		exit, err := h.wait(words)
		if err == nil {
			v.post(func() { v.exited(h, exit) })
		}
	}()
	t := v.config.Timing
	v.after(&v.watches, t.Introduce, func() {
		if !v.reported {
			why := fmt.Sprintf("did not introduce itself within %s", t.Introduce)
			if v.why != "" { // it was heard of otherwise
				why += ": " + v.why
			}
			v.hung(why)
		}
	})
	v.after(&v.watches, t.Stable, func() { v.tries = 0 }) // a timer: clocks are set
	v.boundStart()
	if v.spec.Live != nil {
		v.watches = append(v.watches, v.every(t.LiveEvery, v.checkLive))
	}
}

// boundStart ends a start or reload that takes too long.
func (v *server) boundStart() {
	limit := v.config.Timing.StartTimeout
	v.after(&v.pending, limit, func() { v.hung(fmt.Sprintf("not ready within %s", limit)) })
}

func (v *server) exited(h *handle, exit Exit) {
	if v.process != h {
		return
	}
	h.release()
	v.process = nil
	v.endAll(&v.watches)
	last, _, _ := v.log.tail(traceLines)
	exit.OutOfMemory = exit.ranOutOfMemory(v.spec.Name, v.killsNow, last)
	dissolve(v.spec.Name)
	if v.why != "" {
		exit.Problem = fmt.Sprintf("%s, %s", v.why, exit)
	}
	v.note(&exit)
	v.ended(exit)
}

// note keeps how a process ended, in memory and on the disk.
func (v *server) note(exit *Exit) {
	exit.At = v.config.Clock.Now()
	v.status.Exit = exit
	if err := v.config.Journal.Ended(v.spec.Name, *exit); err != nil {
		v.config.Log.Error().Err(err).Str("server", v.spec.Name).Msg("cannot note that a server has ended")
	}
}

// ended decides what follows the end of a process.
func (v *server) ended(exit Exit) {
	if exit.At.IsZero() { // it never began
		exit.At = v.config.Clock.Now()
	}
	v.status.Exit, v.status.PID, v.status.Started = &exit, 0, time.Time{}
	v.working, v.misses = false, 0
	ordered := v.status.State == Stopping
	if err := v.step(Ended, exit.String()); err != nil {
		v.config.Log.Error().Err(err).Msg("a process ended that should not have been")
		return
	}
	policy := cmp.Or(v.spec.Restart, Always)
	switch {
	case ordered:
		if !v.spec.AutoStart {
			_ = v.step(Disable, exit.String())
		}
		if v.again {
			v.again = false
			_ = v.spawn()
		}
	case policy != Always && exit.fine():
		_ = v.step(Stop, exit.String())
	case policy == Never || v.tries >= v.config.Timing.Tries:
		v.giveUp(exit)
	default:
		v.tries++
		pause := v.config.Timing.pause(v.tries)
		v.status.Message = fmt.Sprintf("%s; try %d of %d in %s", exit, v.tries, v.config.Timing.Tries, pause)
		v.after(&v.pending, pause, v.respawn)
	}
}

func (v *server) giveUp(exit Exit) {
	last, _, _ := v.log.tail(failedLines)
	message := fmt.Sprintf("%s; %d starts in a row have failed", exit, v.tries+1)
	if len(last) > 0 {
		message += "; the end of its log:\n" + strings.TrimRight(string(last), "\n")
	}
	_ = v.step(GiveUp, message)
	if cmp.Or(v.spec.Restart, Always) == Always {
		v.after(&v.pending, v.config.Timing.RetryFailed, v.respawn)
	}
}

func (v *server) respawn() {
	v.status.Restarts++
	if err := v.spawn(); err != nil {
		v.config.Log.Error().Err(err).Msg("cannot respawn")
	}
}

// hear takes in what the server says of itself.
func (v *server) hear(r Report) {
	if v.process == nil || v.status.State == Stopping {
		return // late words of one that ends
	}
	v.reported = v.reported || r.State != "failed"
	v.status.Healthy = r.Healthy
	switch {
	case v.working: // its answer to the command decides
		v.said, v.status.Message = r.State, r.Message
	case r.State == "ready":
		_ = v.step(Ready, r.Message)
	case r.State == "suspended":
		_ = v.step(Quiet, r.Message)
	case r.State == "failed":
		v.why = r.Message
		v.status.Message = r.Message
	default:
		v.status.Message = r.Message
	}
}

// checkLive asks a server that should answer whether it does.
func (v *server) checkLive() {
	h := v.process
	if h == nil || v.status.State != Started && v.status.State != Suspended {
		v.misses = 0
		return
	}
	live, timeout := v.spec.Live, v.config.Timing.LiveTimeout
	go func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		stop := v.config.Clock.NewTimer(timeout)
		defer stop.Stop()
		answer := make(chan error, 1)
		go func() { answer <- live(ctx) }()
		var err error
		select {
		case err = <-answer:
		case <-stop.C:
			err = problem.Timeout.Errorf("no answer within %s", timeout)
		}
		v.post(func() {
			if v.process == h {
				v.answered(err)
			}
		})
	}()
}

func (v *server) answered(err error) {
	if err == nil {
		v.misses = 0
		return
	}
	v.misses++
	v.config.Log.Warn().Err(err).Str("server", v.spec.Name).Int("misses", v.misses).Msg("a server does not show that it lives")
	if v.misses == v.config.Timing.LiveFailures {
		v.hung(fmt.Sprintf("hung: %d liveness checks failed (%v)", v.misses, err))
	}
}

// hung ends a process that does not do its work; the end is a crash.
func (v *server) hung(why string) {
	h := v.process
	if h == nil {
		return
	}
	v.why = why
	v.status.Message, v.status.Healthy = why, false
	_ = h.signal(unix.SIGQUIT, false)
	v.after(&v.watches, v.config.Timing.Dump, func() { _ = h.signal(unix.SIGKILL, true) })
}

func (v *server) rotate() {
	h := v.process
	go func() {
		err := v.log.rotate(logSize, logKeep, func() func() {
			if h == nil {
				return func() {}
			}
			return h.pause()
		})
		if err != nil {
			v.config.Log.Error().Err(err).Str("server", v.spec.Name).Msg("cannot rotate a server's log")
		}
	}()
}
