package authority

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Phase is how far a rotation of the authority is. At each moment one authority
// issues; beside it another may be trusted. Each step is one write of one record,
// so a rotation is never between two phases.
type Phase string

const (
	// Settled: there is one authority.
	Settled Phase = "settled"
	// Introduced: a new authority is trusted beside the one that issues.
	Introduced Phase = "introduced"
	// Issuing: the new authority issues; the old one is still trusted.
	Issuing Phase = "issuing"
	// Cancelling: the old authority issues again; the new one, which has issued
	// before, is still trusted.
	Cancelling Phase = "cancelling"
)

// Rotation is the state of the domain's authority.
type Rotation struct {
	Phase Phase
	// Automatic: the leader takes the next step as soon as nobody stands in its way.
	Automatic bool
	Since     time.Time // of the phase; zero when there was no rotation yet
	By        string    // who began the phase
	// Issuing signs; Other is trusted beside it, nil when Settled.
	Issuing, Other *x509.Certificate
}

// Trusted lists the authorities that count, the issuing one first.
func (r Rotation) Trusted() []*x509.Certificate {
	if r.Other == nil {
		return []*x509.Certificate{r.Issuing}
	}
	return []*x509.Certificate{r.Issuing, r.Other}
}

// stored is the value of the authority's record. Certificate and Key are the
// authority that issues, so that a controller whose program knows no rotation
// signs as the others do.
type stored struct {
	Certificate []byte  `json:"certificate"` // PEM
	Key         []byte  `json:"key"`         // PEM
	Other       *signer `json:"other,omitempty"`

	Phase     Phase     `json:"phase,omitempty"` // "": settled
	Automatic bool      `json:"automatic,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	By        string    `json:"by,omitempty"`
	// Decoy is what the verifiers of names that cannot join are made of: it stays
	// when the authority does not.
	Decoy []byte `json:"decoy,omitempty"`
}

// signer is an authority with its key, both PEM.
type signer struct {
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}

// read gives the authority's record as it is here.
func (a *Authority) read() (s stored, version uint64, err error) {
	r, ok := a.records.Record(KindAuthority, current)
	if !ok {
		return s, 0, problem.Unavailable.Errorf("cannot sign: the domain has no authority yet")
	}
	if err := json.Unmarshal(r.Value, &s); err != nil {
		return s, 0, problem.Internal.Errorf("cannot read the domain's authority: %w", err)
	}
	if s.Phase == "" {
		s.Phase = Settled
	}
	return s, r.Version, nil
}

// Rotation tells how far a rotation is.
func (a *Authority) Rotation() (Rotation, error) {
	s, _, err := a.read()
	if err != nil {
		return Rotation{}, err
	}
	r := Rotation{Phase: s.Phase, Automatic: s.Automatic, Since: s.Since, By: s.By}
	if r.Issuing, err = certs.ParseCertificate(s.Certificate); err == nil && s.Other != nil {
		r.Other, err = certs.ParseCertificate(s.Other.Certificate)
	}
	return r, err
}

// Introduce makes a new authority, which is trusted and does not issue yet.
func (a *Authority) Introduce(ctx context.Context, by string, automatic bool) (Rotation, error) {
	return a.step(ctx, by, "introduce", func(s *stored) error {
		if s.Phase != Settled {
			return wrongPhase("introduce a new authority", s.Phase)
		}
		ca, err := NewCertificateAuthority(a.clock.Now())
		if err != nil {
			return err
		}
		s.Other = &signer{}
		if s.Other.Certificate, s.Other.Key, err = ca.Marshal(); err != nil {
			return err
		}
		if s.Decoy == nil {
			s.Decoy = decoyOf(*s)
		}
		s.Phase, s.Automatic = Introduced, automatic
		return nil
	})
}

// Issue has the new authority sign from now on. Its caller has seen that all
// trust it.
func (a *Authority) Issue(ctx context.Context, by string) (Rotation, error) {
	return a.step(ctx, by, "issue", func(s *stored) error {
		if s.Phase != Introduced {
			return wrongPhase("issue with the new authority", s.Phase)
		}
		s.swap()
		s.Phase = Issuing
		return nil
	})
}

// Finish ends the trust in the authority that does not issue. Its caller has seen
// that nobody shows a certificate of it.
func (a *Authority) Finish(ctx context.Context, by string) (Rotation, error) {
	return a.step(ctx, by, "finish", func(s *stored) error {
		if s.Phase != Issuing && s.Phase != Cancelling {
			return wrongPhase("finish the rotation", s.Phase)
		}
		s.settle()
		return nil
	})
}

// Cancel goes back to the old authority: at once when the new one has issued
// nothing; else it issues again, and Finish ends the trust in the new one.
func (a *Authority) Cancel(ctx context.Context, by string) (Rotation, error) {
	return a.step(ctx, by, "cancel", func(s *stored) error {
		switch s.Phase {
		case Introduced:
			s.settle()
		case Issuing:
			s.swap()
			s.Phase, s.Automatic = Cancelling, true
		default:
			return wrongPhase("cancel the rotation", s.Phase)
		}
		return nil
	})
}

// Automate has the leader take the next steps by itself, or no more.
func (a *Authority) Automate(ctx context.Context, automatic bool) (Rotation, error) {
	return a.step(ctx, "", "continue", func(s *stored) error {
		s.Automatic = automatic && s.Phase != Settled
		return nil
	})
}

// step changes the record, if it still is what was read. by is kept with the new
// phase; "" leaves it.
func (a *Authority) step(ctx context.Context, by, what string, change func(*stored) error) (Rotation, error) {
	s, version, err := a.read()
	if err != nil {
		return Rotation{}, err
	}
	if err := change(&s); err != nil {
		return Rotation{}, err
	}
	if by != "" {
		s.By, s.Since = by, a.clock.Now().UTC().Truncate(time.Second)
	}
	value, err := json.Marshal(s)
	if err != nil {
		return Rotation{}, err
	}
	if err := a.records.Put(ctx, KindAuthority, current, value, version); err != nil {
		return Rotation{}, problem.KindOf(err).Errorf("cannot %s the rotation of the authority: %w", what, err)
	}
	return a.Rotation()
}

// decoyOf is the decoy of an authority that was made without one.
func decoyOf(s stored) []byte {
	sum := sha256.Sum256(append([]byte("gatehouse decoy\x00"), s.Key...))
	return sum[:]
}

func (s *stored) swap() {
	issuing := signer{s.Certificate, s.Key}
	s.Certificate, s.Key, s.Other = s.Other.Certificate, s.Other.Key, &issuing
}

func (s *stored) settle() { s.Other, s.Phase, s.Automatic = nil, Settled, false }

func wrongPhase(what string, phase Phase) error {
	next := map[Phase]string{
		Settled:    "no rotation is under way: begin one with :rotate-authority or :rotate-authority(phase=introduce)",
		Introduced: "a new authority is introduced: go on with phase=issue or go back with phase=cancel",
		Issuing:    "the new authority issues already: go on with phase=finish or go back with phase=cancel",
		Cancelling: "the old authority issues again: phase=finish ends the trust in the new one",
	}
	return problem.Precondition.Errorf("cannot %s: %s", what, next[phase])
}

// KindTrust is the kind of record in which each controller, the key, says whom it
// trusts and shows.
const KindTrust = "authority-trust"

// Trust is what a controller says of itself.
type Trust struct {
	Authorities []string `json:"authorities"` // fingerprints
	Issuer      string   `json:"issuer"`      // of the certificate that it shows
}

// Declare keeps what a controller trusts and shows, where that changed.
func (a *Authority) Declare(ctx context.Context, controller string, t Trust) error {
	if old, ok := a.Declared(controller); ok && old.Issuer == t.Issuer && slices.Equal(old.Authorities, t.Authorities) {
		return nil
	}
	value, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return a.records.Put(ctx, KindTrust, controller, value, domain.Any)
}

// Undeclare forgets what a controller that was removed said.
func (a *Authority) Undeclare(ctx context.Context, controller string) error {
	if _, ok := a.Declared(controller); !ok {
		return nil
	}
	return a.records.Delete(ctx, KindTrust, controller, domain.Any)
}

// Declared is what a controller said last.
func (a *Authority) Declared(controller string) (t Trust, ok bool) {
	r, ok := a.records.Record(KindTrust, controller)
	if !ok || json.Unmarshal(r.Value, &t) != nil {
		return Trust{}, false
	}
	return t, true
}
