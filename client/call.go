package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/management"
)

// Response is the answer to an operation, whether it succeeded or failed.
type Response struct {
	// Result is decoded JSON; numbers are json.Number.
	Result any
	// Revision that the operation made or read; 0 when it has none.
	Revision uint64
	// Headers are the response headers.
	Headers map[string]any
	// Body is the whole response as it came, for printing: "outcome", "result",
	// "failure-description" and the rest. Nil when no response came.
	Body map[string]any
}

// Execute runs one operation. An operation that failed gives its response and
// an error of the failure's kind. A read is repeated at another controller
// when one goes away; a write only when it is certain that nothing was
// executed, otherwise the error is Unavailable and says so.
func (c *Client) Execute(ctx context.Context, op profiles.Operation) (Response, error) {
	data, err := json.Marshal(op)
	if err != nil {
		return Response{}, problem.Invalid.Errorf("cannot encode the operation: %w", err)
	}
	return c.retry(ctx, op, func(l *link) (Response, error) {
		answer, err := l.stub.Execute(l.authorized(ctx), &management.ExecuteRequest{Operation: data})
		if err != nil {
			return Response{}, problemOf(err)
		}
		return decode(answer.GetResponse())
	})
}

// Follow runs an operation whose answer is a stream and calls emit with each
// event, decoded JSON, until it ends. It is never repeated once an event came.
func (c *Client) Follow(ctx context.Context, op profiles.Operation, emit func(event any) error) (Response, error) {
	data, err := json.Marshal(op)
	if err != nil {
		return Response{}, problem.Invalid.Errorf("cannot encode the operation: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return c.retry(ctx, op, func(l *link) (Response, error) {
		stream, err := l.stub.Follow(l.authorized(ctx), &management.ExecuteRequest{Operation: data})
		if err != nil {
			return Response{}, problemOf(err)
		}
		return follow(stream, emit)
	})
}

// follow emits all events but the last message, which is the response.
func follow(stream management.Management_FollowClient, emit func(any) error) (Response, error) {
	emitted := false
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return Response{}, problem.Unavailable.Errorf("cannot follow the operation to its end: the stream ended without a response")
		}
		if err != nil {
			err = problemOf(err)
			if emitted {
				err = started{err}
			}
			return Response{}, err
		}
		value, err := decodeAny(message.GetEvent())
		if err != nil {
			return Response{}, err
		}
		body, _ := value.(map[string]any)
		event, ok := body["event"]
		if !ok {
			return respond(body)
		}
		emitted = true
		if err := emit(event); err != nil {
			return Response{}, started{err}
		}
	}
}

// started wraps an error of a call that may have been executed in part.
type started struct{ error }

func (s started) Unwrap() error { return s.error }

// attempts is how many controllers one call may try: each of five, and the
// leader that one of them names.
const attempts = 6

// A domain that has lost its leader has a new one within 2 s. A call that
// certainly changed nothing is repeated for patience, every pause.
const (
	patience = 3 * time.Second
	pause    = 100 * time.Millisecond
)

func (c *Client) retry(ctx context.Context, op profiles.Operation, call func(*link) (Response, error)) (Response, error) {
	start := c.config.Clock.Now()
	relogged := false
	for tried := 1; ; {
		l, err := c.link(ctx)
		if err != nil {
			return Response{}, err
		}
		response, err := call(l)
		leader, refused := leaderHint(response)
		unavailable := problem.Is(err, problem.Unavailable)
		switch {
		case err == nil:
			return response, nil
		case refused && leader != "":
			c.prefer(leader)
		case unavailable && response.Body != nil && (refused || op.ReadOnly()):
			if clock.Since(c.config.Clock, start) >= patience || clock.Sleep(ctx, c.config.Clock, pause) != nil {
				return response, err
			}
			continue
		case problem.Is(err, problem.Unauthorized) && l.hasToken() && !relogged:
			relogged = true // the session has expired: open a new one
			c.drop(l)
		case unavailable && response.Body == nil:
			c.drop(l)
			if started := (started{}); errors.As(err, &started) || !op.ReadOnly() {
				return response, problem.WithHint(err, "the operation may have been carried out: look at :history before you repeat it")
			}
		default:
			return response, err
		}
		if tried++; tried > attempts {
			return response, err
		}
	}
}

// leaderHint says whether a controller refused to execute because it is not the
// leader, and which is.
func leaderHint(r Response) (leader string, refused bool) {
	leader, refused = r.Headers["leader"].(string)
	return leader, refused
}

func problemOf(err error) error {
	if s, ok := status.FromError(err); ok && s.Code() == codes.Canceled {
		return context.Canceled
	}
	return problem.FromGRPC(err)
}

func decode(data []byte) (Response, error) {
	value, err := decodeAny(data)
	if err != nil {
		return Response{}, err
	}
	body, ok := value.(map[string]any)
	if !ok {
		return Response{}, problem.Internal.Errorf("cannot read the response: want an object, got %.80q", data)
	}
	return respond(body)
}

func decodeAny(data []byte) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, problem.Internal.Errorf("cannot read the response: %w", err)
	}
	return value, nil
}

// respond reads a response's body; a failure becomes an error of its kind.
func respond(body map[string]any) (Response, error) {
	r := Response{Body: body, Result: body["result"]}
	r.Headers, _ = body["response-headers"].(map[string]any)
	if n, ok := body["revision"].(json.Number); ok {
		revision, _ := n.Int64() // a revision is far below 2^63
		r.Revision = uint64(revision)
	}
	if body["outcome"] == "success" {
		return r, nil
	}
	name, _ := body["failure-kind"].(string)
	description, _ := body["failure-description"].(string)
	return r, kindNamed(name).Errorf("%s", description)
}

func kindNamed(name string) problem.Kind {
	for k := problem.Internal; k <= problem.Unsupported; k++ {
		if k.String() == name {
			return k
		}
	}
	return problem.Internal
}
