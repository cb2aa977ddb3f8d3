package hostagent

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// How Run ended when the domain told the agent to; the servers run on after
// both.
var (
	// ErrReload: make a new agent from the host's file and run that.
	ErrReload = errors.New("the domain told the agent to start its services anew")
	// ErrRestart: start the program anew, as it is installed now.
	ErrRestart = errors.New("the domain told the agent to start its program anew")
)

// errShutdown: the servers are stopped and the agent ends.
var errShutdown = errors.New("the domain told the host to shut down")

// leaveAfter is what the answer to such an order, once it is on its way, has to
// reach the controller before its link ends.
const leaveAfter = 300 * time.Millisecond

// leave has Run end, for one of the reasons above, when the order has been
// answered: its context ends with the answer, or with the link.
func (a *Agent) leave(order context.Context, why error) {
	a.config.Log.Info().Str("why", why.Error()).Msg("the agent ends")
	go func() {
		<-order.Done()
		_ = clock.Sleep(context.Background(), a.config.Clock, leaveAfter)
		a.end(why)
	}()
}

// ordered ends or renews the agent itself.
func (a *Agent) ordered(order context.Context, kind string, p parameters) {
	switch {
	case kind == "host-reload":
		a.leave(order, ErrReload)
	case kind == "host-shutdown" && p.Restart:
		a.leave(order, ErrRestart)
	case kind == "host-shutdown":
		a.leave(order, errShutdown)
	}
}
