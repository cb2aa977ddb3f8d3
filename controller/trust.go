package controller

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
)

// certificateAgain is how soon a controller tries again what it could not do about
// its certificate: without a leader nothing can be declared.
const certificateAgain = time.Second

// keepCertificate keeps whom this controller trusts, and the certificate that it
// shows, as the domain's authority is; it tells its hosts and, in a record, the
// leader. A certificate is renewed when two thirds of its life have passed, and at
// once when another authority issues.
func (p *parts) keepCertificate(ctx context.Context) error {
	var told string
	for {
		_, newer := p.replica.State()
		err := p.entrust(ctx, &told)
		if err != nil && ctx.Err() == nil {
			p.cfg.Log.Debug().Err(err).Msg("cannot bring this controller's certificate up to date; trying again")
		}
		wait := max(p.identity.RenewAt().Sub(p.cfg.Clock.Now()), time.Minute)
		if err != nil {
			wait = certificateAgain
		}
		again := p.cfg.Clock.NewTimer(wait)
		select {
		case <-newer:
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// entrust does it once. told is what hosts were told last.
func (p *parts) entrust(ctx context.Context, told *string) error {
	r, err := p.authority.Rotation()
	if err != nil {
		return err // the domain is being founded
	}
	authorities := certs.EncodeCertificates(r.Trusted())
	if string(p.identity.Authorities()) != string(authorities) || *told != string(authorities) {
		// A controller that boots reads its log again: what it finds there may be an
		// authority of long ago. Only what the leader has, too, counts.
		if err := p.fresh(ctx); err != nil {
			return err
		}
		if r, err = p.authority.Rotation(); err != nil {
			return err
		}
		authorities = certs.EncodeCertificates(r.Trusted())
	}
	if string(p.identity.Authorities()) != string(authorities) {
		if err := p.trust(authorities); err != nil {
			return err
		}
		p.cfg.Log.Info().Str("phase", string(r.Phase)).Strs("authorities", p.identity.Trusted()).Msg("the domain's authorities changed")
	}
	if p.identity.Issuer() == "" {
		p.cfg.Log.Error().Str("hint", "this controller was away while the domain's authority was rotated: remove it (:remove-controller) and add it anew with a token and an empty directory").
			Msg("this controller's certificate is of an authority that the domain does not trust any more")
	}
	if p.identity.Due() {
		p.installing.Lock()
		err := p.in.renew(p.authority, p.identity)
		p.installing.Unlock()
		if err != nil {
			return err
		}
		p.cfg.Log.Info().Time("until", p.identity.Expires()).Str("authority", p.identity.Issuer()).Msg("renewed this controller's certificate")
	}
	if *told != string(authorities) {
		*told = string(authorities)
		p.publisher.SetTrust(authorities)
	}
	return p.authority.Declare(ctx, p.in.Name, authority.Trust{Authorities: p.identity.Trusted(), Issuer: p.identity.Issuer()})
}

// freshWithin is how long the leader is waited for.
const freshWithin = 5 * time.Second

// fresh returns when all that was acknowledged before can be read here.
func (p *parts) fresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, freshWithin)
	defer cancel()
	return p.replica.Fresh(ctx)
}

// maySign returns an error while this controller may know an authority of before
// only: it has not read its log to the end, and reaches no leader.
func (p *parts) maySign(ctx context.Context) error {
	r, err := p.authority.Rotation()
	if err != nil || p.identity.Authority().Equal(r.Issuing) {
		return err
	}
	return p.fresh(ctx)
}

// trust takes other authorities in: first on the disk.
func (p *parts) trust(authorities []byte) error {
	p.installing.Lock()
	defer p.installing.Unlock()
	p.in.Authority = authorities
	if list, err := certs.ParseCertificates(authorities); err == nil && len(list) == 1 {
		p.in.Previous = nil // the rotation is over
	}
	if err := p.in.save(); err != nil {
		return err
	}
	before := p.identity.Trusted()
	if err := p.identity.Trust(authorities); err != nil {
		return err
	}
	trusted := p.identity.Trusted()
	if slices.ContainsFunc(before, func(f string) bool { return !slices.Contains(trusted, f) }) {
		p.publisher.CutOff(trusted) // whoever connects from now on is checked by TLS
	}
	return nil
}
