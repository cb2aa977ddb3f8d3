package certs_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
)

// authorities are an old and a new one; a listener asks for certificates by their
// names, so these differ.
func authorities(t *testing.T) (o, n *certs.Authority) {
	t.Helper()
	n, err := certs.NewAuthority("test domain, new", now)
	if err != nil {
		t.Fatal(err)
	}
	return authority(t), n
}

// trusting is an identity of one authority that trusts several, the first issuing.
func trusting(t *testing.T, of *certs.Authority, name string, authorities ...*certs.Authority) *certs.Identity {
	t.Helper()
	id := identity(t, of, at(now), "host", name)
	if err := id.Trust(texts(authorities...)); err != nil {
		t.Fatal(err)
	}
	return id
}

func texts(authorities ...*certs.Authority) (text []byte) {
	for _, a := range authorities {
		text = append(text, certs.EncodeCertificate(a.Certificate.Raw)...)
	}
	return text
}

// renewed renews an identity with an authority; those it trusts stay.
func renewed(t *testing.T, id *certs.Identity, a *certs.Authority, name string) *certs.Identity {
	t.Helper()
	key, err := certs.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Sign(request, certs.URI("host", name), now)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Renew(key, cert, id.Authorities()); err != nil {
		t.Fatal(err)
	}
	return id
}

// The states that a member of the domain goes through while its authority is
// replaced.
func states(t *testing.T, o, n *certs.Authority, name string) map[string]*certs.Identity {
	return map[string]*certs.Identity{
		"before":     trusting(t, o, name, o),
		"introduced": trusting(t, o, name, o, n),
		"told":       trusting(t, o, name, n, o), // that the new one issues; not renewed yet
		"renewed":    renewed(t, trusting(t, o, name, n, o), n, name),
		"joined":     trusting(t, n, name, n, o), // since the new one issues
		"after":      trusting(t, n, name, n),
	}
}

func TestMembersInNeighbouringPhasesTrustEachOther(t *testing.T) {
	o, n := authorities(t)
	listeners, diallers := states(t, o, n, "a"), states(t, o, n, "b")
	for _, c := range []struct {
		listener, dialler string
		ok                bool
	}{
		{"before", "before", true},
		{"before", "introduced", true}, {"introduced", "before", true}, {"introduced", "introduced", true},
		{"before", "told", true}, {"told", "before", true},
		{"introduced", "told", true}, {"told", "introduced", true},
		// Who was away when the new one was introduced is shown, and shows, the old one.
		{"renewed", "before", true}, {"before", "renewed", true},
		{"introduced", "renewed", true}, {"renewed", "introduced", true}, {"renewed", "renewed", true},
		{"introduced", "joined", true}, {"joined", "introduced", true}, {"joined", "renewed", true},
		{"after", "renewed", true}, {"renewed", "after", true}, {"after", "joined", true}, {"after", "after", true},
		{"before", "after", false}, {"after", "before", false}, {"joined", "before", false},
		{"after", "introduced", false}, {"introduced", "after", false},
	} {
		err := handshake(listeners[c.listener].Server(true, nil), diallers[c.dialler].Client(nil))
		if (err == nil) != c.ok {
			t.Errorf("listener %s, dialler %s: %v", c.listener, c.dialler, err)
		}
	}
}

func TestAPinnedFingerprintIsGoodUntilTheRotationEnds(t *testing.T) {
	o, n := authorities(t)
	fingerprints := map[string]string{"old": certs.Fingerprint(o.Certificate), "new": certs.Fingerprint(n.Certificate)}
	all := states(t, o, n, "a")
	for _, c := range []struct {
		listener string
		good     []string
	}{
		{"before", []string{"old"}},
		{"introduced", []string{"old"}},
		{"told", []string{"old"}},
		{"renewed", []string{"old", "new"}},
		{"after", []string{"new"}},
	} {
		for which, fingerprint := range fingerprints {
			err := handshake(all[c.listener].ServerWithChain(false, nil), certs.Pinned(fingerprint, at(now), nil))
			if (err == nil) != slices.Contains(c.good, which) {
				t.Errorf("listener %s, pinned %s: %v", c.listener, which, err)
			}
		}
	}
}

func TestACertificateIsRenewedWhenAnotherAuthorityIssues(t *testing.T) {
	o, n := authorities(t)
	for state, want := range map[string]struct {
		issuer *certs.Authority
		due    bool
	}{
		"before": {o, false}, "introduced": {o, false}, "told": {o, true}, "renewed": {n, false}, "joined": {n, false}, "after": {n, false},
	} {
		id := states(t, o, n, "a")[state]
		if got := id.Issuer(); got != certs.Fingerprint(want.issuer.Certificate) || id.Due() != want.due || id.Outdated() != want.due {
			t.Errorf("%s: of %s, due %v, outdated %v", state, got, id.Due(), id.Outdated())
		}
	}
	gone := trusting(t, o, "a", n)
	if gone.Issuer() != "" || !gone.Due() {
		t.Errorf("of an authority that is not trusted: issuer %q, due %v", gone.Issuer(), gone.Due())
	}
	old := identity(t, o, at(now.Add(21*24*time.Hour)), "host", "a")
	if old.Outdated() || !old.Due() {
		t.Errorf("after two thirds of its life: outdated %v, due %v", old.Outdated(), old.Due())
	}
}

func TestSeveralAuthoritiesAreReadInTheirOrder(t *testing.T) {
	o, n := authorities(t)
	list, err := certs.ParseCertificates(texts(n, o))
	if err != nil || len(list) != 2 || !list[0].Equal(n.Certificate) || string(certs.EncodeCertificates(list)) != string(texts(n, o)) {
		t.Errorf("%d certificates, %v", len(list), err)
	}
	_, key, err := o.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"nothing": nil, "no PEM": []byte("authority"), "a key among them": append(texts(o), key...),
		"damaged": certs.EncodeCertificate(o.Certificate.Raw[:40]),
	} {
		if _, err := certs.ParseCertificates(text); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
