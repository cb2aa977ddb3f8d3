package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// keySet is a JSON Web Key Set (RFC 7517, section 5).
type keySet struct {
	Keys []struct {
		ID        string `json:"kid"`
		Use       string `json:"use"`
		Algorithm string `json:"alg"`
		Curve     string `json:"crv"`
		N, E      string
		X, Y      string
	} `json:"keys"`
}

// verify checks the signature of a token with the key that it names, and gives
// its claims. The algorithm is the key's, whatever the token says.
func (set keySet) verify(token string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("the provider sent no ID token")
	}
	var header struct {
		ID        string `json:"kid"`
		Algorithm string `json:"alg"`
	}
	var claims map[string]any
	if err := errors.Join(decode(parts[0], &header), decode(parts[1], &claims)); err != nil {
		return nil, fmt.Errorf("cannot read the ID token: %w", err)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, fmt.Errorf("cannot read the ID token: %w", err)
	}
	for _, k := range set.Keys {
		if k.ID != header.ID || k.Use == "enc" || k.Algorithm != header.Algorithm {
			continue
		}
		if signed(k.Algorithm, []byte(parts[0]+"."+parts[1]), signature, number(k.N), number(k.E), number(k.X), number(k.Y)) {
			return claims, nil
		}
		return nil, errors.New("the ID token is not signed by the provider")
	}
	return nil, fmt.Errorf("the ID token is signed with %s and a key that the provider does not publish", header.Algorithm)
}

func signed(algorithm string, message, signature []byte, n, e, x, y *big.Int) bool {
	sum := sha256.Sum256(message)
	switch algorithm {
	case "RS256":
		return n.BitLen() > 0 && rsa.VerifyPKCS1v15(&rsa.PublicKey{N: n, E: int(e.Int64())}, crypto.SHA256, sum[:], signature) == nil
	case "ES256":
		const size = 32 // bytes of a number of P-256
		if len(signature) != 2*size || x.BitLen() > 8*size || y.BitLen() > 8*size {
			return false
		}
		point := append([]byte{4}, append(x.FillBytes(make([]byte, size)), y.FillBytes(make([]byte, size))...)...)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		return err == nil && ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]))
	case "EdDSA":
		return x.BitLen() <= 8*ed25519.PublicKeySize && ed25519.Verify(x.FillBytes(make([]byte, ed25519.PublicKeySize)), message, signature)
	}
	return false
}

// check is what a client must check of an ID token besides its signature
// (OpenID Connect Core 1.0, section 3.1.3.7).
func (p *provider) check(claims map[string]any, nonce string) error {
	expires, _ := claims["exp"].(float64)
	switch {
	case claims["iss"] != p.issuer:
		return fmt.Errorf("the ID token is of %v", claims["iss"])
	case !slices.Contains(audience(claims["aud"]), p.client):
		return fmt.Errorf("the ID token is for %v", claims["aud"])
	case len(audience(claims["aud"])) > 1 && claims["azp"] != p.client:
		return fmt.Errorf("the ID token was issued to %v", claims["azp"])
	case claims["nonce"] != nonce:
		return errors.New("the ID token is of another login")
	case time.Now().After(time.Unix(int64(expires), 0)):
		return errors.New("the ID token has expired")
	}
	return nil
}

// audience is a claim that is one text or a list.
func audience(claim any) []string {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, a := range v {
			if text, ok := a.(string); ok {
				list = append(list, text)
			}
		}
		return list
	}
	return nil
}

func decode(part string, into any) error {
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func number(text string) *big.Int {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return new(big.Int)
	}
	return new(big.Int).SetBytes(data)
}
