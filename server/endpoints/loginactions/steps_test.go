package loginactions_test

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 4226
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// pbkdf2OfSecret is one round of PBKDF2-SHA256 of secret with the salt "salt".
const pbkdf2OfSecret = "xOEfG6ymEDJ8fNSD2M6IJ0r8bE5FeVaxgYMnZIVZPek+zESxEu/XyXVGs7/b5lHs+zVv2ylPqSBXVhraGO6s4A=="

const otpSecret = "12345678901234567890"

// withOTP gives alice a device, as Keycloak stores it.
func withOTP(c *model.Contents) {
	c.Users[0].Credentials = append(c.Users[0].Credentials,
		model.Credential{ID: "p", Type: "password", CredentialData: `{"hashIterations":1,"algorithm":"pbkdf2-sha256"}`,
			SecretData: `{"value":"` + pbkdf2OfSecret + `","salt":"c2FsdA=="}`},
		model.Credential{ID: "o", Type: "otp", UserLabel: "phone", CredentialData: `{"subType":"totp","digits":6,"counter":0,"period":30,"algorithm":"HmacSHA1"}`,
			SecretData: `{"value":"` + otpSecret + `"}`})
}

// hotp is an implementation of RFC 4226 to compare with.
func hotp(secret string, factor uint64) string {
	mac := hmac.New(sha1.New, []byte(secret))
	_ = binary.Write(mac, binary.BigEndian, factor)
	sum := mac.Sum(nil)
	at := sum[19] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff%1000000)
}

func (w *world) totp() string { return hotp(otpSecret, uint64(w.clock.Now().Unix()/30)) }

func TestAOneTimeCodeIsAskedForAndUsedOnce(t *testing.T) {
	w := newWorld(t, withOTP)
	b := w.window()
	page := b.submit(b.open(w.account()), "username", "alice", "password", secret)
	b.sees(page, 200, "One-time code")
	page = b.submit(page, "otp", "000000")
	b.sees(page, 200, "Invalid one-time code.")
	code := w.totp()
	b.sees(b.submit(page, "otp", code), 200, "Your account")
	if got := w.alice().Credentials[0].CredentialData; !strings.Contains(got, "argon2") {
		t.Errorf("the old hash was not renewed: %s", got)
	}
	other := w.window()
	page = other.submit(other.open(w.account()), "username", "alice", "password", secret)
	page = other.submit(page, "otp", code)
	other.sees(page, 200, "Invalid one-time code.")
	w.clock.Advance(30 * time.Second)
	other.sees(other.submit(page, "otp", w.totp()), 200, "Your account")
}

func TestRequiredActionsComeBeforeTheAccount(t *testing.T) {
	w := newWorld(t, func(c *model.Contents) {
		c.Realm.PasswordPolicy = "length(8) and passwordHistory(2) and hashIterations(1)"
		c.Users[0].RequiredActions = []string{"UPDATE_PROFILE", "CONFIGURE_TOTP", "UPDATE_PASSWORD", "webauthn-register"}
		c.Users[0].LastName = ""
	})
	b := w.window()
	page := b.submit(b.open(w.account()), "username", "alice", "password", secret)
	b.sees(page, 200, "Set up a one-time code") // the realm's order, not the user's
	b.sees(b.submit(page, "totp", "123"), 200, "Invalid one-time code.")
	page = b.open(w.account())
	page = b.submit(page, "username", "alice", "password", secret)
	key := strings.ReplaceAll(regexp.MustCompile(`<code>([A-Z2-7 ]+)</code>`).FindStringSubmatch(string(page.Body))[1], " ", "")
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	page = b.submit(page, "totp", hotp(string(raw), uint64(w.clock.Now().Unix()/30)), "userLabel", "my phone")
	b.sees(page, 200, "Choose a new password")
	for password, want := range map[string]string{"short": "at least 8 characters", secret: "last 2 passwords"} {
		page = b.submit(page, "password-new", password, "password-confirm", password)
		b.sees(page, 200, want)
	}
	page = b.submit(page, "password-new", "another secret", "password-confirm", "anothr secret")
	b.sees(page, 200, "do not match")
	page = b.submit(page, "password-new", "another secret", "password-confirm", "another secret")
	b.sees(page, 200, "Complete your account")
	b.sees(b.submit(page, "lastName", "", "email", "a@b.c", "firstName", "A"), 200, "last name")
	page = b.submit(page, "lastName", "L", "email", "new@example.com", "firstName", "A")
	b.sees(page, 400, "Page has expired") // the form before was of another turn
	page = b.submit(b.open(page.Link("Continue").String()), "lastName", "L", "email", "new@example.com", "firstName", "A")
	b.sees(page, 200, "Your account", "new@example.com")
	u := w.alice()
	if len(u.RequiredActions) != 1 || u.RequiredActions[0] != "webauthn-register" {
		t.Errorf("actions left: %v", u.RequiredActions)
	}
	if len(u.Credentials) != 3 { // password, its predecessor, the device
		t.Errorf("%d credentials", len(u.Credentials))
	}
}

func TestConsentIsAskedForOnceAndCanBeRefused(t *testing.T) {
	w := newWorld(t, func(c *model.Contents) {
		for _, client := range c.Clients {
			if client.ClientID == "account-console" {
				client.ConsentRequired = true
			}
		}
	})
	b := w.window()
	page := b.submit(b.open(w.account()), "username", "alice", "password", secret)
	b.sees(page, 200, "Grant access to", "User profile", "Email address")
	form := b.fill(page, "accept", "accept", "true")
	page, err := b.b.Submit(t.Context(), form)
	if err != nil {
		t.Fatal(err)
	}
	b.sees(page, 200, "Your account")
	if got := w.alice().ClientConsents; len(got) != 1 || len(got[0].GrantedClientScopes) < 2 {
		t.Errorf("stored: %+v", got)
	}
	other := w.window()
	other.sees(other.submit(other.open(w.account()), "username", "alice", "password", secret), 200, "Your account")
}

func TestParallelGuessesDoNotExceedTheLimit(t *testing.T) {
	const limit = 5
	factor, wait, none := limit, 60, 0
	w := newWorld(t, func(c *model.Contents) {
		c.Realm.BruteForceProtected, c.Realm.FailureFactor, c.Realm.WaitIncrementSeconds = true, &factor, &wait
		c.Realm.QuickLoginCheckMilliSeconds, c.Realm.PasswordPolicy = &none, "hashIterations(1)"
	})
	client := &model.Client{ClientID: "cli"}
	verify := func(password string) error {
		_, err := w.processor.VerifyPassword(t.Context(), w.realm, client, map[string][]string{"username": {"alice"}, "password": {password}}, "10.0.0.1")
		return err
	}
	var group sync.WaitGroup
	var refused atomic.Int32
	for range 40 {
		group.Go(func() {
			if err := verify("guess"); problem.Is(err, problem.Unauthorized) {
				refused.Add(1)
			} else {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if refused.Load() != 40 {
		t.Errorf("%d of 40 refused", refused.Load())
	}
	if err := verify(secret); !problem.Is(err, problem.Unauthorized) {
		t.Errorf("after %d wrong guesses the right one counts: %v", limit, err)
	}
	b := w.window()
	b.sees(b.submit(b.open(w.account()), "username", "alice", "password", secret), 200, "Invalid username or password.")
	w.clock.Advance(16 * time.Minute) // maxFailureWaitSeconds is 15
	if err := verify(secret); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	if _, err := w.store.Sessions().LoginFailures.Get(t.Context(), w.realm.ID, w.alice().ID); !problem.Is(err, problem.NotFound) {
		t.Errorf("a login does not forget the failures: %v", err)
	}
}

func TestThePasswordDoesNotBuyMoreGuessesAtTheCode(t *testing.T) {
	const limit = 4
	factor, none := limit, 0
	w := newWorld(t, func(c *model.Contents) {
		withOTP(c)
		c.Realm.BruteForceProtected, c.Realm.FailureFactor, c.Realm.QuickLoginCheckMilliSeconds = true, &factor, &none
	})
	b := w.window()
	for range limit {
		page := b.submit(b.open(w.account()), "username", "alice", "password", secret)
		b.sees(b.submit(page, "otp", "000000"), 200, "Invalid one-time code.")
	}
	other := w.window()
	other.sees(other.submit(other.open(w.account()), "username", "alice", "password", secret), 200, "Invalid username or password.")
}

func TestALockForGoodDisablesTheUser(t *testing.T) {
	factor, none := 2, 0
	w := newWorld(t, func(c *model.Contents) {
		c.Realm.BruteForceProtected, c.Realm.PermanentLockout, c.Realm.FailureFactor, c.Realm.QuickLoginCheckMilliSeconds = true, true, &factor, &none
	})
	b := w.window()
	page := b.open(w.account())
	for range 2 {
		page = b.submit(page, "username", "alice", "password", "x")
	}
	if w.alice().Enabled {
		t.Error("alice is still enabled")
	}
	b.sees(b.submit(page, "username", "alice", "password", secret), 200, "account is disabled")
}

func TestThePasswordGrantFollowsItsFlow(t *testing.T) {
	w := newWorld(t, withOTP)
	for _, c := range []struct {
		form map[string]string
		want problem.Kind
		ok   bool
	}{
		{form: map[string]string{"username": "alice", "password": secret}, want: problem.Unauthorized},
		{form: map[string]string{"username": "alice", "password": secret, "totp": "123456"}, want: problem.Unauthorized},
		{form: map[string]string{"username": "alice", "password": "x", "totp": w.totp()}, want: problem.Unauthorized},
		{form: map[string]string{"username": "nobody", "password": secret}, want: problem.Unauthorized},
		{form: map[string]string{"password": secret}, want: problem.Invalid},
		{form: map[string]string{"username": "alice", "password": secret, "totp": w.totp()}, ok: true},
	} {
		form := map[string][]string{}
		for k, v := range c.form {
			form[k] = []string{v}
		}
		u, err := w.processor.VerifyPassword(t.Context(), w.realm, &model.Client{ClientID: "cli"}, form, "")
		if c.ok && (err != nil || u.Username != "alice") || !c.ok && !problem.Is(err, c.want) {
			t.Errorf("%v: %v", c.form, err)
		}
	}
	_, err := w.accounts.Change(t.Context(), w.realm.ID, w.alice().ID, func(u *model.User) error {
		u.RequiredActions = []string{"UPDATE_PASSWORD"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	form := map[string][]string{"username": {"alice"}, "password": {secret}, "totp": {w.totp()}}
	if _, err := w.processor.VerifyPassword(t.Context(), w.realm, &model.Client{ClientID: "cli"}, form, ""); !problem.Is(err, problem.Precondition) {
		t.Errorf("with something left to do: %v", err)
	}
}

func TestARequiredExecutionThatIsNotKnownRefusesTheLogin(t *testing.T) {
	w := newWorld(t, func(c *model.Contents) {
		for _, f := range c.Flows {
			if f.Alias == "forms" {
				f.Executions = append(f.Executions, model.Execution{Authenticator: "acme-face-scan", Requirement: "REQUIRED", Priority: 99})
			}
		}
	})
	b := w.window()
	page := b.submit(b.open(w.account()), "username", "alice", "password", secret)
	if page.Status == 200 || strings.Contains(page.Text(), "Your account") {
		t.Errorf("%d: %s", page.Status, page.Text())
	}
}

func TestThePasswordIsChangedWithThePresentOne(t *testing.T) {
	w := newWorld(t, nil)
	b := w.window()
	page := b.submit(b.open(w.account()), "username", "alice", "password", secret)
	change := func(now, next, again string) string {
		t.Helper()
		page = b.submit(b.open(w.account()), "password-new", next, "password-confirm", again, "password", now)
		return page.Text()
	}
	for _, c := range [][4]string{{"x", "another one", "another one", "current password is not right"}, {secret, "a", "b", "do not match"}, {secret, "", "", "specify a password"}, {secret, "another one", "another one", "has been changed"}} {
		if text := change(c[0], c[1], c[2]); !strings.Contains(text, c[3]) {
			t.Errorf("want %q: %s", c[3], text)
		}
	}
	form := b.fill(b.open(w.account()), "password-new", "password", "another one")
	form.Values.Set("stateChecker", "guessed")
	page, err := b.b.Submit(t.Context(), form)
	if err != nil {
		t.Fatal(err)
	}
	b.sees(page, 400, "Invalid request")
	other := w.window()
	other.sees(other.submit(other.open(w.account()), "username", "alice", "password", secret), 200, "Invalid username")
	page = other.submit(other.open(w.account()), "username", "alice", "password", "another one")
	other.sees(page, 200, "Your account", "Log out the other sessions")
	form = other.fill(page, "stateChecker") // the first form now ends the other sessions
	if page, err = other.b.Submit(t.Context(), form); err != nil {
		t.Fatal(err)
	}
	other.sees(page, 200, "The other sessions are logged out.")
	b.sees(b.open(w.account()), 200, "Sign in")
}
