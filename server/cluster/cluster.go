// Package cluster owns the site-local membership of the identity servers and
// the data plane between them: who is there, and how to call them. Everything
// goes over mutual TLS on one port; only holders of a certificate
// gatehouse:/server/<host>/<name> of the domain's authority take part.
//
// It knows nothing of caches, sessions or storage: others register named
// handlers. Its views are each member's own and may differ between members for
// the time of detection; who needs an agreed numbering builds it on top (the
// distributed caches do).
package cluster

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// Member is one server of the cluster as it describes itself.
type Member struct {
	Name     string // NodeName(Host, Server): also the route in AUTH_SESSION_ID
	Host     string
	Server   string
	Site     string
	DataAddr string // host:port of membership and data plane
	HTTPAddr string // where the server answers HTTP; "" when it does not
	Revision uint64 // revision of the domain that it runs
	Born     int64  // Unix nanoseconds of its start; the smallest is the oldest
}

// Same reports whether m and o are one run of one server: a restarted server
// has the same name and another birth.
func (m Member) Same(o Member) bool { return m.Name == o.Name && m.Born == o.Born }

// View is the members that one member sees at one time, oldest first, itself
// among them. Views are immutable.
type View struct {
	Number  uint64 // grows with each change, local to the member that sees it
	Members []Member
	// Departed are the members that were lost without a word since the start
	// of this member and are not known to have ended: they may be alive beyond
	// a broken network. A member leaves this list when it comes back, when its
	// address refuses connections (its process is gone), or when discovery no
	// longer names it.
	Departed []Member
}

// Find gives the member of that name.
func (v View) Find(name string) (Member, bool) {
	for _, m := range v.Members {
		if m.Name == name {
			return m, true
		}
	}
	return Member{}, false
}

// Oldest is the member that decides where one has to; every view has one.
func (v View) Oldest() Member { return v.Members[0] }

// Handler answers one call. from is the caller's node name, proven by its
// certificate. The payload is the handler's to keep. ctx ends when the caller
// has stopped waiting.
type Handler func(ctx context.Context, from string, payload []byte) (reply []byte, err error)

// Discovery finds the other servers of the group.
type Discovery interface {
	// Addresses are the data addresses (host:port) known now, ours may be
	// among them; changed is closed when they are no longer current. known
	// reports whether an address that is missing is surely not in use.
	Addresses() (addrs []string, known bool, changed <-chan struct{})
}

// Config is what a Node is made from.
type Config struct {
	Host, Server string // as in the certificate
	Site         string
	Name         string // of the cluster: only members of one name and site meet; default "gatehouse"
	HTTPAddr     string
	Revision     uint64

	Listener  net.Listener                                                      // data address, plain TCP; the node owns and closes it
	Advertise string                                                            // host:port that others reach Listener at; "" takes the listener's address
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error) // of the others' Listeners; nil: TCP
	Identity  *certs.Identity
	Discovery Discovery
	Timing    Timing // zero: DefaultTiming
	Clock     clock.Clock
	Log       zerolog.Logger
}

// Timing is how fast a lost member is noticed. With probe interval P, probe
// timeout T < P and suspicion multiplier S, a member that stops answering is
// out of the view after at most
//
//	P (until it is probed) + P (direct, then indirect probe) + S * max(1, log10 n) * P
//
// where n is the number of members. A member that is merely slow has
// S * P to refute the suspicion.
type Timing struct {
	Probe     time.Duration // P, default 400 ms
	Timeout   time.Duration // T, default 200 ms: twice a bad round trip within a site
	Suspicion int           // S, default 3: 400 + 400 + 3*400 = 2 s
	Rejoin    time.Duration // how often absent addresses are tried again, default 1 s
}

// DefaultTiming notices a lost member in at most 2 s for up to ten members.
func DefaultTiming() Timing {
	return Timing{Probe: 400 * time.Millisecond, Timeout: 200 * time.Millisecond, Suspicion: 3, Rejoin: time.Second}
}

// Detection is the longest time until a lost member is out of the view of up
// to ten members.
func (t Timing) Detection() time.Duration { return t.Probe * time.Duration(2+t.Suspicion) }

// NodeName is the name of a server in its cluster and the route in its
// cookies: "master.server-one". Bytes other than letters, digits, '-' and '_'
// (and '.' in the host) are written as ~XX in hex, so that every name is valid
// in a cookie (RFC 6265 4.1.1) and no two servers share one: the part behind
// the last dot is the server's.
func NodeName(host, server string) string {
	return escape(host, true) + "." + escape(server, false)
}

// Route is the node named in a session cookie's value "<id>.<node>": all that
// follows the first dot, as ids have none. "" when there is none.
func Route(value string) string {
	_, route, _ := strings.Cut(strings.Trim(value, `"`), ".")
	return route
}

func escape(s string, dots bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || dots && c == '.'
		if plain {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('~')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}
