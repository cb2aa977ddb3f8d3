package keystores_test

import (
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/keystores"
)

// The stores of testdata are made by keytool: entries first (EC) and second
// (RSA) with password changeit; in JKS the key second has password another1.
const password = "changeit"

func file(name string) string { return filepath.Join("testdata", name) }

func TestKeytoolsStoresAreRead(t *testing.T) {
	for _, c := range []struct {
		store keystores.Store
		want  string // of the certificate's name, or of the error
	}{
		{keystores.Store{File: file("keytool.jks")}, "first.example.com"},
		{keystores.Store{File: file("keytool.jks"), Kind: "jks", Alias: "FIRST"}, "first.example.com"},
		{keystores.Store{File: file("keytool.jks"), Alias: "second", KeyPassword: "another1"}, "second.example.com"},
		{keystores.Store{File: file("keytool.jks"), Alias: "second"}, `cannot read the key "second"`},
		{keystores.Store{File: file("keytool.jks"), Alias: "third"}, "there are: first, second"},
		{keystores.Store{File: file("keytool.jks"), Password: "wrong"}, "the password does not fit"},
		{keystores.Store{File: file("keytool.jks"), Kind: "PKCS12"}, "cannot read key store"},
		{keystores.Store{File: file("keytool.pkcs12")}, "first.example.com"},
		{keystores.Store{File: file("keytool.pkcs12"), Kind: "PKCS #12", Alias: "second"}, "second.example.com"},
		{keystores.Store{File: file("keytool.pkcs12"), Alias: "third"}, "there are: first, second"},
		{keystores.Store{File: file("keytool.pkcs12"), Password: "wrong"}, "the password does not fit"},
		{keystores.Store{File: file("keytool.pkcs12"), Alias: "second", Password: "wrong"}, "the password does not fit"},
		{keystores.Store{File: file("keytool.pkcs12"), Kind: "JKS"}, "cannot read key store"},
		{keystores.Store{File: file("trust.jks")}, "it has no key"},
		{keystores.Store{File: file("first.pem")}, "cannot read key store"},
		{keystores.Store{File: file("keytool.jks"), Kind: "BKS"}, "valid: JKS, PKCS12"},
	} {
		if c.store.Password == "" {
			c.store.Password = password
		}
		pair, err := keystores.Load(c.store, clock.Real(), func(err error) { t.Error(err) })
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want %q", c.store, err, c.want)
			}
			if strings.Contains(err.Error(), c.store.Password) || c.store.KeyPassword != "" && strings.Contains(err.Error(), c.store.KeyPassword) {
				t.Errorf("%+v: a password is in the error %v", c.store, err)
			}
			continue
		}
		got, err := pair.Get(nil)
		if err != nil || got.Leaf.Subject.CommonName != c.want {
			t.Errorf("%+v: %v, want %q (%v)", c.store, got.Leaf.Subject, c.want, err)
		}
	}
}

func TestTrustStoresOfEachKindAreRead(t *testing.T) {
	for _, name := range []string{"trust.jks", "trust.pkcs12", "first.pem"} {
		pool := x509.NewCertPool()
		if err := keystores.AddTrusted(pool, file(name), password); err != nil || pool.Equal(x509.NewCertPool()) {
			t.Errorf("%s: nothing is trusted (%v)", name, err)
		}
	}
	for name, want := range map[string]string{"trust.jks": "does not fit", "trust.pkcs12": "does not fit", "gone": "no such file"} {
		if err := keystores.AddTrusted(x509.NewCertPool(), file(name), "wrong"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOneOfManySelfSignedStoresStays: servers of a host that start at once use
// the same certificate.
func TestOneOfManySelfSignedStoresStays(t *testing.T) {
	for _, kind := range []string{"JKS", ""} {
		s := keystores.Store{File: filepath.Join(t.TempDir(), "tls", "ks"), Password: "p", Kind: kind}
		var all sync.WaitGroup
		made := make(chan bool, 8)
		for range cap(made) {
			all.Go(func() {
				ours, err := s.MakeSelfSigned("192.0.2.7", time.Now())
				if err != nil {
					t.Error(err)
				}
				made <- ours
			})
		}
		all.Wait()
		close(made)
		n := 0
		for ours := range made {
			if ours {
				n++
			}
		}
		pair, err := keystores.Load(s, clock.Real(), func(err error) { t.Error(err) })
		if err != nil || n != 1 {
			t.Fatalf("%s: made %d times (%v)", kind, n, err)
		}
		got, err := pair.Get(nil)
		if err != nil || !got.Leaf.IPAddresses[0].Equal(net.ParseIP("192.0.2.7")) {
			t.Errorf("%v (%v)", got.Leaf, err)
		}
		left, err := os.ReadDir(filepath.Dir(s.File))
		if err != nil || len(left) != 1 {
			t.Errorf("files are left behind: %v (%v)", left, err)
		}
	}
}

func FuzzStoresAreReadOrRefused(f *testing.F) {
	for _, name := range []string{"keytool.jks", "keytool.pkcs12", "first.pem"} {
		text, err := os.ReadFile(file(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(text[:len(text)/2])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join(t.TempDir(), "ks")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = keystores.Load(keystores.Store{File: name, Password: password}, clock.Real(), func(error) {})
		_ = keystores.AddTrusted(x509.NewCertPool(), name, password)
	})
}
