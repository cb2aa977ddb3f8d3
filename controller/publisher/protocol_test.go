package publisher

import (
	"context"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// greet is a host that says hello with a range of protocols; welcomed is what
// the controller answered, refused why it did not.
func greet(ctx context.Context, p *Publisher, oldest, newest uint32, version string) (welcomed *hostlink.Welcome, refused error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := &pipe{ctx: ctx, up: make(chan *hostlink.Report, 1), down: make(chan *hostlink.Instruction)}
	stream.up <- &hostlink.Report{Report: &hostlink.Report_Hello{Hello: &hostlink.Hello{Host: "h", Installation: "i", Protocol: newest, OldestProtocol: oldest, Version: version}}}
	done := make(chan error, 1)
	go func() { done <- p.Serve("h", stream, anyone) }()
	select {
	case first := <-stream.down:
		cancel()
		<-done
		return first.GetWelcome(), nil
	case err := <-done:
		return nil, err
	}
}

func TestAHostIsWelcomedWithTheNewestCommonProtocol(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, _ *source, ctx context.Context) {
		p.speaks = hostlink.Speaks{Oldest: 2, Newest: 3, Version: "1.5.0"}
		for _, c := range []struct{ oldest, newest, want uint32 }{{2, 3, 3}, {1, 2, 2}, {3, 4, 3}, {0, 2, 2}} {
			welcome, err := greet(ctx, p, c.oldest, c.newest, "1.5.1")
			if err != nil || welcome.GetProtocol() != c.want || welcome.GetVersion() != "1.5.0" {
				t.Errorf("%d to %d: welcomed with %v, %v; want protocol %d first of all", c.oldest, c.newest, welcome, err, c.want)
			}
		}
	})
}

func TestAHostWithoutACommonProtocolIsRefusedAndBothAreNamed(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, _ *source, ctx context.Context) {
		p.speaks = hostlink.Speaks{Oldest: 2, Newest: 3, Version: "1.5.0"}
		for _, c := range []struct {
			oldest, newest uint32
			names          []string
		}{
			{4, 5, []string{"protocols 4 to 5 (version 9.9.9)", "protocols 2 to 3 (version 1.5.0)", "upgrade the controllers first"}},
			{1, 1, []string{"protocol 1 (version 9.9.9)", "protocols 2 to 3 (version 1.5.0)", "upgrade the host's agent first"}},
		} {
			_, err := greet(ctx, p, c.oldest, c.newest, "9.9.9")
			if !problem.Is(err, problem.Unsupported) {
				t.Fatalf("%d to %d: %v", c.oldest, c.newest, err)
			}
			for _, name := range c.names {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%q does not say %q", err, name)
				}
			}
			if s, _ := p.Host("h"); s.Connected {
				t.Error("a refused host counts as connected")
			}
		}
	})
}
