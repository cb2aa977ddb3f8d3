package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// bareSignatures is how many RS256 signatures one goroutine makes a second:
// the ceiling of what a token endpoint can do on a core.
func bareSignatures(c clock.Clock, d time.Duration) (perSecond float64, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return 0, err
	}
	digest := sha256.Sum256([]byte("header.payload"))
	return rate(c, d, func() error {
		_, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		return err
	})
}

// bareHashes is how many Argon2id hashes with Keycloak's default parameters
// (t=5, m=7 MiB, p=1) one goroutine makes a second.
func bareHashes(c clock.Clock, d time.Duration) (perSecond float64, err error) {
	salt := make([]byte, 16)
	return rate(c, d, func() error {
		argon2.IDKey([]byte("alice-in-demo"), salt, 5, 7*1024, 1, 32)
		return nil
	})
}

func rate(c clock.Clock, d time.Duration, f func() error) (float64, error) {
	begin, n := c.Now(), 0
	for clock.Since(c, begin) < d {
		if err := f(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / clock.Since(c, begin).Seconds(), nil
}
