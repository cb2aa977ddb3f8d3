// Package passwords owns how a password becomes a stored hash, how a typed one
// is compared with it, and what a realm's password policy demands. It knows the
// JSON forms in which Keycloak stores hashes and nothing of realms, users or
// storage.
package passwords

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // PBKDF2-SHA1 of imported files is verified, then upgraded
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"hash"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// The hash algorithms, with Keycloak's names.
const (
	Argon2       = "argon2"
	PBKDF2SHA1   = "pbkdf2"
	PBKDF2SHA256 = "pbkdf2-sha256"
	PBKDF2SHA512 = "pbkdf2-sha512"
)

// Limits on what a stored hash may ask of this machine: far above what anyone
// sets, far below what a poisoned import would need to stop the server.
const (
	maxMemoryKiB  = 1 << 20 // 1 GiB
	maxArgon2Time = 1000
	maxPBKDF2     = 20_000_000
	maxKeyBytes   = 1024
	saltBytes     = 16
)

// pbkdf2Kinds has the digest of each PBKDF2 algorithm, the iterations that
// Keycloak 26 does by default, and the bytes of the derived key.
var pbkdf2Kinds = map[string]struct {
	digest     func() hash.Hash
	iterations int
}{
	PBKDF2SHA1:   {sha1.New, 1_300_000},
	PBKDF2SHA256: {sha256.New, 600_000},
	PBKDF2SHA512: {sha512.New, 210_000},
}

// pbkdf2KeyBytes is the length of a derived key, whatever its digest.
const pbkdf2KeyBytes = 64

// argon2Defaults are Keycloak's: time 5, 7 MiB, one lane.
const argon2Time = 5

func argon2Parameters() map[string][]string {
	return map[string][]string{"type": {"id"}, "version": {"1.3"}, "hashLength": {"32"}, "memory": {"7168"}, "parallelism": {"1"}}
}

// Hash is a stored password.
type Hash struct {
	Algorithm  string
	Iterations int
	Parameters map[string][]string // of argon2: type, version, hashLength (bytes), memory (KiB), parallelism
	Salt       []byte
	Value      []byte
}

type credentialData struct {
	Iterations int                 `json:"hashIterations"`
	Algorithm  string              `json:"algorithm"`
	Parameters map[string][]string `json:"additionalParameters"`
}

type secretData struct {
	Value      []byte              `json:"value"`
	Salt       []byte              `json:"salt"`
	Parameters map[string][]string `json:"additionalParameters"`
}

// Parse reads the two JSON texts of a credential of type "password". Errors are
// problem.Invalid and never quote the secret.
func Parse(credential, secret string) (Hash, error) {
	var c credentialData
	if err := json.Unmarshal([]byte(credential), &c); err != nil {
		return Hash{}, problem.Invalid.Errorf("cannot read a password hash: credentialData is not JSON of a password")
	}
	var s secretData
	if err := json.Unmarshal([]byte(secret), &s); err != nil {
		return Hash{}, problem.Invalid.Errorf("cannot read a password hash: secretData is not JSON of a password")
	}
	h := Hash{Algorithm: c.Algorithm, Iterations: c.Iterations, Parameters: c.Parameters, Salt: s.Salt, Value: s.Value}
	return h, h.check()
}

// ParseOld reads the form of exports before Keycloak 8: base64 of the hash and
// of the salt. An empty algorithm is PBKDF2-SHA1.
func ParseOld(algorithm string, iterations int, salt, value string) (Hash, error) {
	if algorithm == "" {
		algorithm = PBKDF2SHA1
	}
	h := Hash{Algorithm: algorithm, Iterations: iterations}
	var err error
	if h.Salt, err = base64.StdEncoding.DecodeString(salt); err == nil {
		h.Value, err = base64.StdEncoding.DecodeString(value)
	}
	if err != nil {
		return Hash{}, problem.Invalid.Errorf("cannot read a password hash: its salt or value is not base64")
	}
	return h, h.check()
}

// Marshal is the two JSON texts of a credential.
func (h Hash) Marshal() (credential, secret string, err error) {
	parameters := h.Parameters
	if parameters == nil {
		parameters = map[string][]string{}
	}
	c, err := json.Marshal(credentialData{h.Iterations, h.Algorithm, parameters})
	if err != nil {
		return "", "", err
	}
	s, err := json.Marshal(secretData{h.Value, h.Salt, map[string][]string{}})
	return string(c), string(s), err
}

// String hides the hash.
func (h Hash) String() string { return h.Algorithm + "(" + strconv.Itoa(h.Iterations) + ")" }

func (h Hash) check() error {
	if len(h.Value) == 0 || len(h.Value) > maxKeyBytes {
		return problem.Invalid.Errorf("cannot use a password hash of %d bytes (valid: 1 to %d)", len(h.Value), maxKeyBytes)
	}
	if h.Algorithm == Argon2 {
		_, err := h.argon2()
		return err
	}
	if _, ok := pbkdf2Kinds[h.Algorithm]; !ok {
		return problem.Unsupported.Errorf("cannot verify a password hash of algorithm %q (known: %v)", h.Algorithm, Algorithms())
	}
	if h.Iterations < 1 || h.Iterations > maxPBKDF2 {
		return problem.Invalid.Errorf("cannot use a password hash of %d iterations (valid: 1 to %d)", h.Iterations, maxPBKDF2)
	}
	return nil
}

// Algorithms lists the algorithms that can be verified and hashed.
func Algorithms() []string {
	return append([]string{Argon2}, slices.Sorted(maps.Keys(pbkdf2Kinds))...)
}

// argon2Cost is a hash's parameters as numbers.
type argon2Cost struct {
	id      bool // argon2id; otherwise argon2i
	time    uint32
	memory  uint32 // KiB
	threads uint8
}

func (h Hash) argon2() (argon2Cost, error) {
	first := func(name, fallback string) string {
		if v := h.Parameters[name]; len(v) > 0 {
			return v[0]
		}
		return fallback
	}
	kind, version := first("type", "id"), first("version", "1.3")
	memory, err1 := strconv.Atoi(first("memory", "7168"))
	lanes, err2 := strconv.Atoi(first("parallelism", "1"))
	switch {
	case kind != "id" && kind != "i", version != "1.3":
		return argon2Cost{}, problem.Unsupported.Errorf("cannot verify an argon2 hash of type %q version %q (known: id and i, version 1.3)", kind, version)
	case err1 != nil, err2 != nil, memory < 8, memory > maxMemoryKiB, lanes < 1, lanes > 255, h.Iterations < 1, h.Iterations > maxArgon2Time:
		return argon2Cost{}, problem.Invalid.Errorf("cannot use an argon2 hash of memory %s KiB, parallelism %s, %d iterations (valid: 8 to %d, 1 to 255, 1 to %d)",
			first("memory", ""), first("parallelism", ""), h.Iterations, maxMemoryKiB, maxArgon2Time)
	}
	return argon2Cost{kind == "id", uint32(h.Iterations), uint32(memory), uint8(lanes)}, nil //nolint:gosec // bounded above
}

// derive hashes a password as h was hashed.
func (h Hash) derive(password string) ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	if k, ok := pbkdf2Kinds[h.Algorithm]; ok {
		return pbkdf2.Key(k.digest, password, h.Salt, h.Iterations, len(h.Value))
	}
	cost, err := h.argon2()
	if err != nil {
		return nil, err
	}
	length := uint32(len(h.Value)) //nolint:gosec // bounded by check
	if cost.id {
		return argon2.IDKey([]byte(password), h.Salt, cost.time, cost.memory, cost.threads, length), nil
	}
	return argon2.Key([]byte(password), h.Salt, cost.time, cost.memory, cost.threads, length), nil
}

// matches compares in a time that tells nothing about the difference.
func (h Hash) matches(password string) (bool, error) {
	got, err := h.derive(password)
	return err == nil && subtle.ConstantTimeCompare(got, h.Value) == 1, err
}

// blank is a hash of the policy's kind with a fresh salt and no value yet.
func (p Policy) blank() Hash {
	if k, ok := pbkdf2Kinds[p.Algorithm]; ok {
		n := p.Iterations
		if n <= 0 {
			n = k.iterations
		}
		return Hash{Algorithm: p.Algorithm, Iterations: n, Salt: salt(), Value: make([]byte, pbkdf2KeyBytes)}
	}
	n := p.Iterations
	if n <= 0 {
		n = argon2Time
	}
	return Hash{Algorithm: Argon2, Iterations: n, Parameters: argon2Parameters(), Salt: salt(), Value: make([]byte, 32)}
}

func salt() []byte {
	b := make([]byte, saltBytes)
	_, _ = rand.Read(b) // crypto/rand.Read never fails
	return b
}

// Outdated reports whether a hash was made otherwise than the policy asks, so
// that the next login should store a new one.
func (p Policy) Outdated(h Hash) bool {
	want := p.blank()
	return h.Algorithm != want.Algorithm || h.Iterations != want.Iterations || len(h.Value) != len(want.Value) ||
		want.Algorithm == Argon2 && !reflect.DeepEqual(h.Parameters, want.Parameters)
}
