package configrelay

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
)

// newSecret makes 256 random bits as text, and their digest.
func newSecret() (secret, digest string, err error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", "", err
	}
	secret = base64.RawURLEncoding.EncodeToString(b)
	return secret, digestOf(secret), nil
}

func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// matches is false for an empty digest: nothing opens what has no key.
func matches(secret, digest string) bool {
	return secret != "" && digest != "" && subtle.ConstantTimeCompare([]byte(digestOf(secret)), []byte(digest)) == 1
}
