package systemd

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Notifier talks to the service manager by sd_notify(3). Without a manager it
// says nothing, to nobody.
type Notifier struct {
	socket   string
	watchdog time.Duration // 0: the manager does not watch
}

// NewNotifier reads where the manager listens from the environment.
func NewNotifier(getenv func(string) string) Notifier {
	n := Notifier{socket: getenv("NOTIFY_SOCKET")}
	if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// Ready tells that the service works.
func (n Notifier) Ready() error { return n.say("READY=1") }

// Stopping tells that the service ends.
func (n Notifier) Stopping() error { return n.say("STOPPING=1") }

// Status is one line for "systemctl status".
func (n Notifier) Status(text string) error {
	return n.say("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// Watch tells the manager that the service is alive, twice in each of its
// intervals, as long as alive finds it so, until ctx ends.
func (n Notifier) Watch(ctx context.Context, c clock.Clock, alive func() error) error {
	if n.socket == "" || n.watchdog == 0 {
		<-ctx.Done()
		return nil
	}
	tick := c.NewTicker(n.watchdog / 2)
	defer tick.Stop()
	for {
		say := "WATCHDOG=1"
		if err := alive(); err != nil {
			say = "STATUS=not well: " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if err := n.say(say); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n Notifier) say(text string) error {
	if n.socket == "" {
		return nil
	}
	address := n.socket
	if strings.HasPrefix(address, "@") { // an abstract socket, unix(7)
		address = "\x00" + address[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return problem.Internal.Errorf("cannot notify the service manager: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(text)); err != nil {
		return problem.Internal.Errorf("cannot notify the service manager: %w", err)
	}
	return nil
}
