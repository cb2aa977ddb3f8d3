package loadbalancer

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged ends a connection when what was sent stays without
// acknowledgement for vanishLimit (tcp(7), TCP_USER_TIMEOUT; the kernel's own
// limit is a quarter of an hour).
func limitUnacknowledged(_, _ string, c syscall.RawConn) error {
	var failure error
	if err := c.Control(func(fd uintptr) {
		failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanishLimit.Milliseconds()))
	}); err != nil {
		return err
	}
	return failure
}
