package controller

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
)

func TestAWriteThatCertainlyWroteNothingMayBeRepeated(t *testing.T) {
	unavailable := problem.Unavailable.Errorf("it does not lead")
	for _, tt := range []struct {
		name string
		err  error
		may  bool
	}{
		{"done", nil, false},
		{"refused", problem.Conflict.Errorf("it was changed meanwhile"), false},
		{"nobody leads", peers.NotBegun(unavailable), true},
		{"it leads no more", fmt.Errorf("cannot write: %w", consensus.ErrNotLeading), true},
		{"it may be in the log", fmt.Errorf("cannot confirm the write: %w", consensus.ErrUnknownOutcome), false},
		{"it is in the log, and cannot be read here", fmt.Errorf("%w: %w", peers.NotBegun(unavailable), consensus.ErrUnknownOutcome), false},
		{"it was lost on the way", unavailable, false},
	} {
		err := repeatable(tt.err)
		if may := errors.As(err, new(api.NotLeader)); may != tt.may || problem.KindOf(err) != problem.KindOf(tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
