package loadbalancer

import (
	"net"
	"time"
)

const (
	// vanishLimit is how long a server's kernel may stay silent until the
	// connection is ended. It answers in well under a millisecond whatever the
	// load, so this covers a few lost packets; a person waits no longer than
	// that for a host that is gone, and most clients wait for ten seconds.
	vanishLimit = 4 * time.Second
	// keepAlive asks the kernel while a server works on its answer: otherwise
	// nothing is sent that could stay unanswered.
	keepAlive = time.Second
)

// newDialer makes the dialer of connections to servers.
func newDialer() *net.Dialer {
	return &net.Dialer{
		Timeout:         connectLimit,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: int(vanishLimit/keepAlive) - 1},
		Control:         limitUnacknowledged,
	}
}
