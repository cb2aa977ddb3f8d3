package controllerlink

import (
	"errors"
	"strings"
	"sync"

	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// trust takes in which authorities count. It is on the disk before it is
// acknowledged: a host that starts without a controller trusts as it did.
func (l *Link) trust(t *hostlink.Trust) error {
	l.mu.Lock()
	id, b := l.identity, l.stored
	l.mu.Unlock()
	if id == nil {
		return nil
	}
	if string(id.Authorities()) != string(t.GetAuthorities()) {
		if err := id.Trust(t.GetAuthorities()); err != nil {
			return problem.Internal.Errorf("cannot take in the domain's authorities: %w", err)
		}
		b.Authority = string(t.GetAuthorities())
		if err := l.save(b); err != nil {
			return err
		}
		l.config.Log.Info().Strs("authorities", id.Trusted()).Bool("renewing", id.Outdated()).Msg("the domain's authorities changed")
	}
	if l.config.Trusts != nil {
		l.config.Trusts(id.Authorities())
	}
	wake(l.renewing)
	wake(l.trusting)
	return nil
}

// trusted is what this host says of its trust.
func (l *Link) trusted() *hostlink.Report {
	l.mu.Lock()
	id := l.identity
	l.mu.Unlock()
	if id == nil {
		return nil
	}
	return &hostlink.Report{Report: &hostlink.Report_Trusted{Trusted: &hostlink.Trusted{Authorities: id.Trusted(), Issuer: id.Issuer()}}}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// handshake keeps why the TLS handshake of a link failed, which gRPC tells as
// "unavailable" only.
type handshake struct {
	mu  sync.Mutex
	err error
}

// credentials are those of an identity towards controllers.
func (h *handshake) credentials(id *certs.Identity) credentials.TransportCredentials {
	config := id.Client(onlyControllers)
	verify := config.VerifyConnection
	config.VerifyConnection = func(cs tlsState) error {
		err := verify(cs)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.err = err
		return err
	}
	return credentials.NewTLS(config)
}

// unknownAuthority is how a peer ends the TLS connection of one whose certificate
// is of no authority that it trusts (RFC 8446, section 6.2: unknown_ca).
const unknownAuthority = "remote error: tls: unknown certificate authority"

// explain gives the reason for a link that was not made.
func (h *handshake) explain(err error, host string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case errors.Is(h.err, certs.ErrUnknownAuthority):
		return problem.Unauthorized.Errorf("cannot connect host %s: %w", host, h.err)
	case h.err == nil && strings.Contains(err.Error(), unknownAuthority):
		return problem.WithHint(
			problem.Unauthorized.Errorf("cannot connect host %s: its certificate is of an authority that the domain does not trust any more: the authority was rotated while this host was away", host),
			"join again with a new token: :add-host(name=%s) on a controller", host)
	}
	return err
}
