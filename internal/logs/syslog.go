package logs

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Syslog is a syslog receiver: RFC 5424 messages, over UDP one a datagram (RFC
// 5426), over TCP and TLS counted (RFC 6587 3.4.1, RFC 5425 4.3). Sending never
// holds up who logs: lines wait in a queue, and are lost where it is full.
type Syslog struct {
	Network  string // udp, tcp or tls
	Address  string // host:port
	Facility string // RFC 5424's keyword, as local0, or WildFly's, as local-use-0
	App      string // APP-NAME
	Host     string // HOSTNAME; "" is the machine's
}

// queueSize is how many lines wait for a receiver: 100 a second for 40 s.
const queueSize = 4096

// syslogLimit is how long a receiver may take to connect or to take a line;
// farewellLimit how long what waits may take at the end.
const (
	syslogLimit   = 5 * time.Second
	farewellLimit = time.Second
)

// facilities are those of RFC 5424 6.2.1, by the usual keywords and by
// WildFly's.
var facilities = map[string]int{
	"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11, "ntp": 12,
	"kernel": 0, "user-level": 1, "mail-system": 2, "system-daemons": 3, "security": 4, "syslogd": 5, "line-printer": 6, "network-news": 7,
	"clock-daemon": 9, "security2": 10, "ftp-daemon": 11, "log-audit": 13, "log-alert": 14, "clock-daemon2": 15,
	"local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
	"local-use-0": 16, "local-use-1": 17, "local-use-2": 18, "local-use-3": 19, "local-use-4": 20, "local-use-5": 21, "local-use-6": 22, "local-use-7": 23,
}

// Facilities are the valid names of facilities, sorted.
func Facilities() []string { return slices.Sorted(maps.Keys(facilities)) }

func (s Syslog) place() Output { return nil }

func (s Syslog) check() error {
	if !slices.Contains([]string{"udp", "tcp", "tls"}, s.Network) {
		return problem.Invalid.Errorf("%q is no way to a syslog receiver (valid: udp, tcp, tls)", s.Network)
	}
	if _, ok := facilities[s.Facility]; !ok {
		return problem.Invalid.Errorf("there is no facility %q (valid: %s)", s.Facility, strings.Join(Facilities(), ", "))
	}
	if host, _, err := net.SplitHostPort(s.Address); err != nil || host == "" {
		return problem.Invalid.Errorf("%q is not the address of a syslog receiver: want host:port", s.Address)
	}
	return nil
}

func (s Syslog) open(u user) sink {
	ctx, cancel := context.WithCancel(context.Background())
	k := &syslogSink{
		Syslog: s, user: u, queue: make(chan []byte, queueSize),
		ctx: ctx, cancel: cancel, ended: make(chan struct{}),
	}
	if k.Host = s.Host; k.Host == "" {
		k.Host = hostName()
	}
	go k.run()
	return k
}

type syslogSink struct {
	Syslog
	user
	queue chan []byte // whole messages, unframed
	lost  atomic.Int64

	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{} // closed when run has ended
	conn   net.Conn      // of run
	failed bool          // of run: and it was said
}

// severities are those of RFC 5424 6.2.1 for zerolog's levels.
var severities = map[zerolog.Level]int{
	zerolog.TraceLevel: 7, zerolog.DebugLevel: 7, zerolog.InfoLevel: 6, zerolog.WarnLevel: 4, zerolog.ErrorLevel: 3, zerolog.FatalLevel: 2, zerolog.PanicLevel: 1, zerolog.NoLevel: 6,
}

func (k *syslogSink) write(level zerolog.Level, text []byte) {
	message := fmt.Appendf(nil, "<%d>1 %s %s %s %d - - ", facilities[k.Facility]*8+severities[level],
		k.clock.Now().UTC().Format("2006-01-02T15:04:05.000000Z07:00"), header(k.Host, 255), header(k.App, 48), os.Getpid())
	message = append(message, bytes.TrimRight(text, "\r\n")...)
	select {
	case k.queue <- message:
	default:
		k.lost.Add(1)
	}
}

// header is a field of a message's head: printable ASCII without spaces, "-"
// where there is none.
func header(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), limit)]
}

// run sends what is in the queue. A message that cannot be sent over a
// connection waits for the next one; a datagram is gone.
func (k *syslogSink) run() {
	defer close(k.ended)
	defer func() {
		if k.conn != nil {
			_ = k.conn.Close() // everything was sent
		}
	}()
	for message := range k.queue {
		for {
			err := k.send(message)
			if err == nil {
				k.recovered()
				break
			}
			k.fail(err)
			if k.ctx.Err() != nil {
				return
			}
			if k.Network == "udp" {
				k.lost.Add(1)
				break
			}
			if clock.Sleep(k.ctx, k.clock, retryEvery) != nil {
				return
			}
		}
	}
}

func (k *syslogSink) send(message []byte) error {
	if k.conn == nil {
		conn, err := k.dial()
		if err != nil {
			return err
		}
		k.conn = conn
	}
	if k.Network != "udp" {
		message = append([]byte(strconv.Itoa(len(message))+" "), message...)
	}
	if err := k.conn.SetWriteDeadline(k.clock.Now().Add(syslogLimit)); err != nil {
		return err
	}
	_, err := k.conn.Write(message)
	return err
}

func (k *syslogSink) dial() (net.Conn, error) {
	dialer := &net.Dialer{Timeout: syslogLimit}
	if k.Network == "tls" {
		return (&tls.Dialer{NetDialer: dialer, Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext(k.ctx, "tcp", k.Address)
	}
	conn, err := dialer.DialContext(k.ctx, k.Network, k.Address)
	if err != nil || k.Network == "udp" {
		return conn, err
	}
	return watched(conn), nil
}

// watched reads from a connection on which nothing comes: a receiver that ends
// it is noticed before the next line is written, and lost.
func watched(conn net.Conn) net.Conn {
	w := &watchedConn{Conn: conn, gone: make(chan struct{})}
	go func() {
		_, _ = io.Copy(io.Discard, conn) // whatever ended it, it ended
		close(w.gone)
	}()
	return w
}

type watchedConn struct {
	net.Conn
	gone chan struct{}
}

func (w *watchedConn) Write(p []byte) (int, error) {
	select {
	case <-w.gone:
		return 0, io.ErrClosedPipe
	default:
		return w.Conn.Write(p)
	}
}

// fail says once what is wrong.
func (k *syslogSink) fail(err error) {
	if k.conn != nil {
		_ = k.conn.Close() // it is given up
		k.conn = nil
	}
	if !k.failed && k.ctx.Err() == nil {
		k.failed = true
		k.say(zerolog.ErrorLevel, err, "cannot send log lines to syslog "+k.Network+"://"+k.Address+"; trying again")
	}
}

func (k *syslogSink) recovered() {
	lost := k.lost.Swap(0)
	if k.failed || lost > 0 {
		k.say(zerolog.WarnLevel, nil, "sending log lines to syslog "+k.Network+"://"+k.Address+"; lines lost: "+strconv.FormatInt(lost, 10))
	}
	k.failed = false
}

// close sends what waits, for a moment. Nobody writes any more.
func (k *syslogSink) close() {
	close(k.queue)
	limit := k.clock.NewTimer(farewellLimit)
	defer limit.Stop()
	select {
	case <-k.ended:
	case <-limit.C:
	}
	k.cancel()
}

// hostName is the machine's, or "".
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
