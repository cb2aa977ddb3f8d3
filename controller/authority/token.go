package authority

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"

	"github.com/xdg-go/scram"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// The roles that join with a secret.
const (
	RoleHost       = "host"
	RoleController = "controller"
)

// iterations of PBKDF2 in a verifier. RFC 7677 asks for 4096 at least; more would
// protect weak passwords, and these secrets are random.
const iterations = 4096

// Token is what one host or controller needs to join: shown once, kept by the
// operator, never by the domain.
type Token struct {
	Name        string `json:"host"`
	Secret      string `json:"secret"`
	Fingerprint string `json:"fingerprint"` // of the domain's authority
}

// String is the token's text form: one word.
func (t Token) String() string { return hostlink.JoinToken(t).Encode() }

// ParseToken reads a token's text form.
func ParseToken(text string) (Token, error) {
	t, err := hostlink.ReadJoinToken(text)
	if err != nil {
		return Token{}, problem.Invalid.Errorf("cannot read the join token: %w", err)
	}
	return Token(t), nil
}

// verifier is what the domain keeps of a secret (RFC 5802, section 3: StoredKey
// and ServerKey): enough to check it, not enough to use it.
type verifier struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored-key"`
	ServerKey  []byte `json:"server-key"`
}

// Invite gives a name a new secret to join with and forgets the one before. It
// also lifts a revocation for certificates that are issued from now on.
func (a *Authority) Invite(ctx context.Context, role, name string) (Token, error) {
	if err := CheckName(role, name); err != nil {
		return Token{}, err
	}
	fingerprint, err := a.Fingerprint()
	if err != nil {
		return Token{}, err
	}
	secret := rand.Text() + rand.Text() // 256 bits
	v, err := newVerifier(name, secret)
	if err != nil {
		return Token{}, err
	}
	value, err := json.Marshal(v)
	if err != nil {
		return Token{}, err
	}
	if err := a.records.Put(ctx, KindVerifier, role+"/"+name, value, domain.Any); err != nil {
		return Token{}, err
	}
	return Token{Name: name, Secret: secret, Fingerprint: fingerprint}, nil
}

// Uninvite forgets the secret of a name: it cannot join again.
func (a *Authority) Uninvite(ctx context.Context, role, name string) error {
	return a.records.Delete(ctx, KindVerifier, role+"/"+name, domain.Any)
}

// Invited reports whether a name may join.
func (a *Authority) Invited(role, name string) bool {
	_, ok := a.records.Record(KindVerifier, role+"/"+name)
	return ok
}

func newVerifier(name, secret string) (verifier, error) {
	client, err := scram.SHA256.NewClient(name, secret, "")
	if err != nil {
		return verifier{}, problem.Internal.Errorf("cannot make a secret for %s: %w", name, err)
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	return verifier{Salt: salt, Iterations: iterations, StoredKey: c.StoredKey, ServerKey: c.ServerKey}, err
}

func (v verifier) credentials() scram.StoredCredentials {
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
		StoredKey:  v.StoredKey,
		ServerKey:  v.ServerKey,
	}
}

// fake gives a name that cannot join credentials that nobody can meet. They are
// the same each time, so that asking twice does not tell them from real ones.
func (a *Authority) fake(role, name string) scram.StoredCredentials {
	s, _, err := a.read()
	decoy := s.Decoy
	if err == nil && decoy == nil { // made before there were rotations
		decoy = decoyOf(s)
	}
	digest := func(use string) []byte {
		sum := sha256.Sum256(append([]byte(use+"\x00"+role+"\x00"+name+"\x00"), decoy...))
		return sum[:]
	}
	return verifier{Salt: digest("salt")[:16], Iterations: iterations, StoredKey: digest("stored"), ServerKey: digest("server")}.credentials()
}
