package console

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/management/api"
)

// A domain that has lost its leader has a new one within 2 s. What certainly did
// nothing is repeated every electionPause, until a visit has waited electionPatience
// in all: without a majority its page still says what is known.
const (
	electionPatience = 3 * time.Second
	electionPause    = 100 * time.Millisecond
)

// execute runs one operation as the visitor.
func (v *visit) execute(ctx context.Context, in api.Inside) (api.Response, error) {
	in.Caller, in.Via = v.caller, via
	for {
		response, err := v.config.Management.Execute(ctx, in)
		if !errors.As(err, new(api.NotLeader)) || v.config.Clock.Now().Sub(v.began) >= electionPatience ||
			clock.Sleep(ctx, v.config.Clock, electionPause) != nil {
			return response, err
		}
	}
}
