//go:build !linux

package loadbalancer

import "syscall"

// limitUnacknowledged leaves it to keep-alive probes where the option is not
// known.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
