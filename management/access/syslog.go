package access

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/syslog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// A syslog receiver that is gone must not hold up management: connecting and
// sending may take syslogTimeout, and one that failed is left alone for
// syslogRest.
const (
	syslogTimeout = time.Second
	syslogRest    = 30 * time.Second
)

// syslogPriority is facility 10 (authpriv), severity 6 (informational): RFC
// 5424, 6.2.1.
const syslogPriority = 10*8 + 6

// receiver sends to a syslog receiver: RFC 5424 messages, over UDP one a
// datagram (RFC 5426), over TCP and TLS counted (RFC 6587 3.4.1, RFC 5425 4.3).
type receiver struct {
	network, address string
	clock            clock.Clock
	conn             net.Conn
	restUntil        time.Time
}

// openSyslog opens "local", "udp://host:port", "tcp://host:port" or
// "tls://host:port". A receiver is first connected to by the first event.
func openSyslog(where string, c clock.Clock) (io.WriteCloser, error) {
	if where == "local" {
		w, err := syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_INFO, "gatehouse-audit")
		if err != nil {
			return nil, problem.Unavailable.Errorf("cannot open this machine's syslog for the audit log: %w", err)
		}
		return w, nil
	}
	network, address, ok := strings.Cut(where, "://")
	if _, _, err := net.SplitHostPort(address); !ok || err != nil || network != "udp" && network != "tcp" && network != "tls" {
		return nil, problem.Invalid.Errorf("cannot send the audit log to %q: want local, udp://host:port, tcp://host:port or tls://host:port", where)
	}
	return &receiver{network: network, address: address, clock: c}, nil
}

// Write sends one event.
func (r *receiver) Write(line []byte) (int, error) {
	now := r.clock.Now()
	if now.Before(r.restUntil) {
		return 0, nil // the failure that began the rest was told
	}
	err := r.send(now, bytes.TrimRight(line, "\n"))
	if err != nil {
		r.restUntil = now.Add(syslogRest)
		_ = r.Close() // broken already
		return 0, problem.Unavailable.Errorf("cannot send to syslog %s://%s, trying again in %s: %w", r.network, r.address, syslogRest, err)
	}
	return len(line), nil
}

func (r *receiver) send(now time.Time, line []byte) error {
	if r.conn == nil {
		conn, err := r.dial()
		if err != nil {
			return err
		}
		r.conn = conn
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	message := fmt.Sprintf("<%d>1 %s %s gatehouse-audit %d - - %s", syslogPriority, now.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), host, os.Getpid(), line)
	if r.network != "udp" {
		message = fmt.Sprintf("%d %s", len(message), message)
	}
	if err := r.conn.SetWriteDeadline(now.Add(syslogTimeout)); err != nil {
		return err
	}
	_, err = io.WriteString(r.conn, message)
	return err
}

func (r *receiver) dial() (net.Conn, error) {
	dialer := &net.Dialer{Timeout: syslogTimeout}
	if r.network == "tls" {
		return tls.DialWithDialer(dialer, "tcp", r.address, &tls.Config{MinVersion: tls.VersionTLS12})
	}
	return dialer.Dial(r.network, r.address)
}

// Close ends the connection.
func (r *receiver) Close() error {
	if r.conn == nil {
		return nil
	}
	err := r.conn.Close()
	r.conn = nil
	return err
}
