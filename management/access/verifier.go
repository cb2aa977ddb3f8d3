package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/xdg-go/scram"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Iterations of PBKDF2 for new verifiers. RFC 7677 asks for at least 4096; more
// is paid once a login by the client, not by the controller.
const Iterations = 15_000

// saltBytes is the length of a new verifier's salt.
const saltBytes = 16

// Verifier is what is kept of a password: enough to check it with
// SCRAM-SHA-256 (RFC 5802, 7677), not enough to log in with.
type Verifier struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored-key"`
	ServerKey  []byte `json:"server-key"`
}

// NewVerifier derives a verifier with a fresh salt.
func NewVerifier(name, password string) (Verifier, error) {
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	return derive(name, password, salt, Iterations)
}

func derive(name, password string, salt []byte, iterations int) (Verifier, error) {
	client, err := scram.SHA256.NewClient(name, password, "")
	if err != nil {
		return Verifier{}, problem.Invalid.Errorf("cannot use this name and password: %w", err)
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return Verifier{}, problem.Invalid.Errorf("cannot derive a verifier of %q: %w", name, err)
	}
	return Verifier{Salt: salt, Iterations: iterations, StoredKey: c.StoredKey, ServerKey: c.ServerKey}, nil
}

// Matches reports whether the password is the one the verifier was made of.
func (v Verifier) Matches(name, password string) bool {
	got, err := derive(name, password, v.Salt, v.Iterations)
	return err == nil && subtle.ConstantTimeCompare(got.StoredKey, v.StoredKey) == 1
}

func (v Verifier) credentials() scram.StoredCredentials {
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
		StoredKey:  v.StoredKey,
		ServerKey:  v.ServerKey,
	}
}

// decoy is the verifier of a name that does not exist: always the same for one
// name and key, and of no password, so that nobody can find out which names
// exist.
func decoy(key []byte, name string) Verifier {
	return Verifier{
		Salt:       keyed(key, "salt", name)[:saltBytes],
		Iterations: Iterations,
		StoredKey:  keyed(key, "stored", name),
		ServerKey:  keyed(key, "server", name),
	}
}

func keyed(key []byte, purpose, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("gatehouse management " + purpose + "\x00" + text))
	return mac.Sum(nil)
}
