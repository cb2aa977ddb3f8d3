// Package problem owns the kinds of error that Gatehouse reports and the single
// place where a kind becomes an HTTP status, a gRPC code and an exit code. It
// knows no product noun.
//
// A message says what could not be done, where, and what would be valid:
//
//	cannot add server group "web": profile "web" does not exist (profiles: auth-server-clustered)
package problem

import (
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind classifies an error. The list is append-only: kinds cross the wire.
type Kind uint8

// The kinds of problem.
const (
	Internal     Kind = iota // a fault of ours
	Invalid                  // the input is wrong and stays wrong
	NotFound                 // what was named does not exist
	Conflict                 // it exists already, or changed meanwhile
	Unauthorized             // who are you
	Forbidden                // you may not
	Unavailable              // try again, here or elsewhere
	TooLarge                 // over a limit
	Timeout                  // not done in time
	Precondition             // the state does not allow it now
	Unsupported              // known, but not by this version or setting
)

var kinds = [...]struct {
	name string
	http int
	grpc codes.Code
	exit int
}{
	Internal:     {"internal", http.StatusInternalServerError, codes.Internal, 70},
	Invalid:      {"invalid", http.StatusBadRequest, codes.InvalidArgument, 2},
	NotFound:     {"not-found", http.StatusNotFound, codes.NotFound, 4},
	Conflict:     {"conflict", http.StatusConflict, codes.AlreadyExists, 5},
	Unauthorized: {"unauthorized", http.StatusUnauthorized, codes.Unauthenticated, 6},
	Forbidden:    {"forbidden", http.StatusForbidden, codes.PermissionDenied, 7},
	Unavailable:  {"unavailable", http.StatusServiceUnavailable, codes.Unavailable, 8},
	TooLarge:     {"too-large", http.StatusRequestEntityTooLarge, codes.ResourceExhausted, 9},
	Timeout:      {"timeout", http.StatusGatewayTimeout, codes.DeadlineExceeded, 10},
	Precondition: {"precondition", http.StatusPreconditionFailed, codes.FailedPrecondition, 11},
	Unsupported:  {"unsupported", http.StatusNotImplemented, codes.Unimplemented, 12},
}

// String is the kind's stable name.
func (k Kind) String() string { return kinds[k.known()].name }

// HTTP is the status a response carries.
func (k Kind) HTTP() int { return kinds[k.known()].http }

// GRPC is the code a call ends with.
func (k Kind) GRPC() codes.Code { return kinds[k.known()].grpc }

// Exit is the exit code of a command that fails with this kind.
func (k Kind) Exit() int { return kinds[k.known()].exit }

func (k Kind) known() Kind {
	if int(k) >= len(kinds) {
		return Internal
	}
	return k
}

// Error is an error with a kind and, where there is one, the next step.
type Error struct {
	Kind Kind
	Hint string // what to do next; "" when the message says it
	err  error
}

// Error is the message, with the hint on the same line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.err.Error()
	}
	return e.err.Error() + "; " + e.Hint
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return errors.Unwrap(e.err) }

// Errorf is fmt.Errorf with a kind; %w keeps the cause.
func (k Kind) Errorf(format string, args ...any) error {
	return &Error{Kind: k, err: fmt.Errorf(format, args...)}
}

// WithHint adds the next step to err and keeps its kind.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Hint: fmt.Sprintf(format, args...), err: fmt.Errorf("%w", err)}
}

// KindOf is the kind of the outermost Error in err's chain. An error of gRPC
// gets the kind of its code; anything else is Internal.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	if s, ok := status.FromError(err); ok && err != nil {
		return kindOfCode(s.Code())
	}
	return Internal
}

// Is reports whether err is a problem of kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// ToGRPC is err as a gRPC status.
func ToGRPC(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(KindOf(err).GRPC(), err.Error())
}

// FromGRPC is a gRPC status as a problem with the same kind and message.
func FromGRPC(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	return &Error{Kind: kindOfCode(s.Code()), err: errors.New(s.Message())}
}

func kindOfCode(c codes.Code) Kind {
	for k := range kinds {
		if kinds[k].grpc == c {
			return Kind(k)
		}
	}
	if c == codes.Canceled {
		return Timeout
	}
	return Internal
}
