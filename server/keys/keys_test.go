package keys_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/keys/keystest"
)

var demo = keys.Realm{ID: "demo-id", Name: "demo"}

func provider(kind string, settings ...string) keys.Provider {
	p := keys.Provider{ID: kind + "-id", Name: kind, Kind: kind, Config: map[string][]string{"priority": {"100"}}}
	for i := 0; i < len(settings); i += 2 {
		p.Config[settings[i]] = []string{settings[i+1]}
	}
	return p
}

func ring(source keys.Source) *keys.Ring {
	return keys.NewRing(source, clocktest.New(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)), zerolog.Nop())
}

func TestEachGeneratedProviderGivesAKey(t *testing.T) {
	for _, c := range []struct {
		provider  keys.Provider
		algorithm string
		use       keys.Use
		published bool
	}{
		{provider("rsa-generated"), "RS256", keys.Signing, true},
		{provider("rsa-generated", "keyUse", "ENC"), "RSA-OAEP", keys.Encryption, true},
		{provider("rsa-generated", "algorithm", "PS512"), "PS512", keys.Signing, true},
		{provider("rsa-enc-generated", "algorithm", "RSA-OAEP-256"), "RSA-OAEP-256", keys.Encryption, true},
		{provider("hmac-generated", "algorithm", "HS512"), "HS512", keys.Signing, false},
		{provider("hmac-generated"), "HS256", keys.Signing, false},
		{provider("aes-generated"), "AES", keys.Encryption, false},
		{provider("ecdsa-generated"), "ES256", keys.Signing, true},
		{provider("ecdsa-generated", "ecdsaEllipticCurveKey", "P-521"), "ES512", keys.Signing, true},
		{provider("eddsa-generated"), "EdDSA", keys.Signing, true},
		{provider("ecdh-generated"), "ECDH-ES", keys.Encryption, true},
	} {
		t.Run(c.provider.Kind+" "+c.algorithm, func(t *testing.T) {
			set, err := ring(keystest.New(demo.ID, c.provider)).Of(context.Background(), demo)
			if err != nil {
				t.Fatal(err)
			}
			key := set.Active(c.algorithm)
			if key == nil || key.Use != c.use || key.ID == "" {
				t.Fatalf("%+v of %d keys", key, len(set.All()))
			}
			var published jose.JSONWebKeySet
			if err := json.Unmarshal(set.JWKS(), &published); err != nil {
				t.Fatalf("%s: %v", set.JWKS(), err)
			}
			if got := len(published.Key(key.ID)) == 1; got != c.published {
				t.Errorf("published %v: %s", got, set.JWKS())
			}
			if c.use != keys.Signing {
				if _, err := key.Sign("JWT", []byte("{}")); !problem.Is(err, problem.Precondition) {
					t.Errorf("an encryption key signs: %v", err)
				}
				return
			}
			compact, err := key.Sign("JWT", []byte(`{"a":1}`))
			if err != nil {
				t.Fatal(err)
			}
			if payload, by, err := set.Verify(compact); err != nil || by != key || string(payload) != `{"a":1}` {
				t.Errorf("%s, %v", payload, err)
			}
		})
	}
}

func TestGeneratedKeysAreGeneratedOnceHoweverManyAsk(t *testing.T) {
	source := keystest.New(demo.ID, provider("ecdsa-generated"), provider("hmac-generated", "algorithm", "HS512"))
	kids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range kids {
		wg.Go(func() {
			set, err := ring(source).Of(context.Background(), demo) // each a server of its own
			if err != nil {
				t.Error(err)
				return
			}
			kids[i] = set.Active("ES256").ID + set.Active("HS512").ID
		})
	}
	wg.Wait()
	for _, kid := range kids {
		if kid != kids[0] {
			t.Errorf("servers disagree about the keys: %q", kids)
		}
	}
}

func TestARealmWithoutAKeyForAnAlgorithmGetsAFallback(t *testing.T) {
	source := keystest.New(demo.ID, provider("rsa-generated"))
	r := ring(source)
	for _, alg := range []string{"ES256", "ES384", "EdDSA", "HS512", "PS256", "RS256"} {
		key, err := r.Signer(context.Background(), demo, alg)
		if err != nil || key.Algorithm != alg {
			t.Errorf("%s: %v, %v", alg, key, err)
		}
	}
	for _, alg := range []string{"none", "", "RSA1_5", "RS999", "A128KW"} {
		if _, err := r.Signer(context.Background(), demo, alg); !problem.Is(err, problem.Invalid) {
			t.Errorf("%q: %v", alg, err)
		}
	}
}

func TestPassiveKeysVerifyAndDisabledKeysDoNot(t *testing.T) {
	source := keystest.New(demo.ID, provider("ecdsa-generated"), provider("rsa-generated"))
	r := ring(source)
	key, err := r.Signer(context.Background(), demo, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Sign("JWT", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	source.Set(demo.ID, "ecdsa-generated", "active", "false")
	set, _ := r.Of(context.Background(), demo)
	if set.Active("ES256") != nil {
		t.Error("a passive key signs")
	}
	if _, _, err := set.Verify(token); err != nil {
		t.Errorf("a passive key does not verify: %v", err)
	}
	if _, err := set.ByID(key.ID).Sign("JWT", nil); err == nil {
		t.Error("a passive key signs")
	}
	source.Set(demo.ID, "ecdsa-generated", "enabled", "false")
	set, _ = r.Of(context.Background(), demo)
	if _, _, err := set.Verify(token); !problem.Is(err, problem.Unauthorized) {
		t.Errorf("a disabled key verifies: %v", err)
	}
	if strings.Contains(string(set.JWKS()), key.ID) {
		t.Error("a disabled key is published")
	}
}

func TestTheHighestPrioritySigns(t *testing.T) {
	low, high := provider("ecdsa-generated"), provider("ecdsa-generated", "priority", "200")
	high.ID, high.Name = "high", "high"
	set, err := ring(keystest.New(demo.ID, low, high)).Of(context.Background(), demo)
	if err != nil || set.Active("ES256").Provider != "high" {
		t.Errorf("%v", err)
	}
}

// RFC 8725, section 3.1: the token does not choose the algorithm.
func TestNoTokenChoosesHowItIsVerified_RFC8725_3_1(t *testing.T) {
	set, err := ring(keystest.New(demo.ID, provider("rsa-generated"))).Of(context.Background(), demo)
	if err != nil {
		t.Fatal(err)
	}
	key := set.Active("RS256")
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwk, _ := json.Marshal(jose.JSONWebKey{Key: key.Public})
	for name, token := range map[string]string{
		"unsigned":               b64([]byte(`{"alg":"none","kid":"`+key.ID+`"}`)) + "." + b64([]byte("{}")) + ".",
		"HMAC by the public key": sign(t, jose.HS256, jwk, key.ID),
		"another's key":          sign(t, jose.RS256, stranger, key.ID),
		"no kid":                 sign(t, jose.RS256, stranger, ""),
		"unknown kid":            sign(t, jose.RS256, stranger, "x"),
		"not a JWT":              "a.b.c",
		"empty":                  "",
	} {
		if _, _, err := set.Verify(token); !problem.Is(err, problem.Unauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	compact, _ := jws.CompactSerialize()
	return compact
}

func TestABrokenProviderLeavesTheOthersWorking(t *testing.T) {
	set, err := ring(keystest.New(demo.ID,
		provider("rsa", "privateKey", "bm90IGEga2V5"),
		provider("rsa-generated", "keySize", "12"),
		provider("java-keystore", "keystore", "/x.jks"),
		provider("hmac-generated", "secret", "%%", "kid", "x"),
		provider("ecdsa-generated"),
	)).Of(context.Background(), demo)
	if err != nil || len(set.All()) != 1 || set.Active("ES256") == nil {
		t.Errorf("%v, %+v", err, set)
	}
}
