package access

import (
	"io"
	"log/syslog"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// auditApp names the audit log to syslog receivers.
const auditApp = "gatehouse-audit"

// openSyslog opens "local", "udp://host:port", "tcp://host:port" or
// "tls://host:port". Receivers are told under facility authpriv; one that is
// gone holds nothing up.
func openSyslog(where string, c clock.Clock, failed func(error)) (io.WriteCloser, error) {
	if where == "local" {
		w, err := syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_INFO, auditApp)
		if err != nil {
			return nil, problem.Unavailable.Errorf("cannot open this machine's syslog for the audit log: %w", err)
		}
		return w, nil
	}
	network, address, _ := strings.Cut(where, "://")
	lines, err := logs.OpenLines(logs.Syslog{Network: network, Address: address, Facility: "authpriv", App: auditApp}, c, failed)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot send the audit log to %q (want local, udp://host:port, tcp://host:port or tls://host:port): %w", where, err)
	}
	return lines, nil
}
