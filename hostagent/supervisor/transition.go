package supervisor

import (
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// State is where a server is in its life.
type State string

// The states. A process exists in STARTING, STARTED, RELOADING, SUSPENDING,
// SUSPENDED and STOPPING, and in no other.
const (
	Disabled   State = "DISABLED"   // not to run, and not to be started by itself
	Starting   State = "STARTING"   // spawned, not ready yet
	Started    State = "STARTED"    // said that it is ready
	Reloading  State = "RELOADING"  // same process, booting its configuration again
	Suspending State = "SUSPENDING" // finishes what it has, takes nothing new
	Suspended  State = "SUSPENDED"  // lives, and serves nobody
	Stopping   State = "STOPPING"   // was told to end
	Stopped    State = "STOPPED"    // not running, by order
	Backoff    State = "BACKOFF"    // ended by itself; is started again after a while
	Failed     State = "FAILED"     // ended by itself too often
)

// states is all of them.
var states = [...]State{Disabled, Starting, Started, Reloading, Suspending, Suspended, Stopping, Stopped, Backoff, Failed}

// Running tells whether a process exists in this state.
func (s State) Running() bool {
	switch s {
	case Starting, Started, Reloading, Suspending, Suspended, Stopping:
		return true
	}
	return false
}

// Event is what can happen to a server.
type Event string

// The events: orders, what the server says of itself, and what the machine
// does.
const (
	Spawn   Event = "spawn"   // a process is started, by order or by the back-off
	Adopt   Event = "adopt"   // a process of an earlier agent is taken over
	Ready   Event = "ready"   // it says that it serves
	Suspend Event = "suspend" // order
	Quiet   Event = "quiet"   // it says that it is suspended
	Reload  Event = "reload"  // order
	Stop    Event = "stop"    // order
	Ended   Event = "exit"    // its process has ended, or could not be started
	GiveUp  Event = "give-up" // too many ends in a row
	Enable  Event = "enable"  // auto-start became true
	Disable Event = "disable" // auto-start became false, or a stop of a server without it
	Refused Event = "refused" // it refused or could not do a reload or suspend, and still serves
)

var events = [...]Event{Spawn, Adopt, Ready, Suspend, Quiet, Reload, Stop, Ended, GiveUp, Enable, Disable, Refused}

// table is the whole state machine: what is not in it is impossible.
var table = map[State]map[Event]State{
	Disabled: {Spawn: Starting, Adopt: Starting, Enable: Stopped},
	Stopped:  {Spawn: Starting, Adopt: Starting, Disable: Disabled},
	Backoff:  {Spawn: Starting, Adopt: Starting, Stop: Stopped, GiveUp: Failed},
	Failed:   {Spawn: Starting, Adopt: Starting, Stop: Stopped},

	Starting:   {Ready: Started, Quiet: Suspended, Stop: Stopping, Ended: Backoff},
	Started:    {Ready: Started, Suspend: Suspending, Quiet: Suspended, Reload: Reloading, Stop: Stopping, Ended: Backoff},
	Reloading:  {Ready: Started, Quiet: Suspended, Stop: Stopping, Ended: Backoff, Refused: Started},
	Suspending: {Ready: Started, Quiet: Suspended, Stop: Stopping, Ended: Backoff, Refused: Started},
	Suspended:  {Ready: Started, Quiet: Suspended, Reload: Reloading, Stop: Stopping, Ended: Backoff},
	Stopping:   {Stop: Stopping, Ended: Stopped},
}

// Next is the one transition function: the state that event e leads to from
// s, or an error when e cannot happen there.
func Next(s State, e Event) (State, error) {
	next, ok := table[s][e]
	if !ok {
		return s, problem.Precondition.Errorf("cannot %s a server that is %s", e, s)
	}
	return next, nil
}
