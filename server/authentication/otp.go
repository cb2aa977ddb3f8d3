package authentication

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 4226: the default of every authenticator application
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// device is a user's generator of one-time codes, as Keycloak keeps it.
type device struct {
	Kind      string `json:"subType"` // totp or hotp
	Digits    int    `json:"digits"`
	Counter   int    `json:"counter"`
	Period    int    `json:"period"` // seconds
	Algorithm string `json:"algorithm"`
	Encoding  string `json:"secretEncoding,omitempty"`
	secret    []byte
}

// digests are the algorithms of a device.
var digests = map[string]func() hash.Hash{"": sha1.New, "HmacSHA1": sha1.New, "HmacSHA256": sha256.New, "HmacSHA512": sha512.New}

// deviceOf reads a credential of type otp, of any age.
func deviceOf(c *model.Credential) (device, error) {
	d := device{Kind: c.Type, Digits: c.Digits, Counter: c.Counter, Period: c.Period, Algorithm: c.Algorithm, secret: []byte(c.Value)}
	if c.CredentialData != "" {
		var s struct {
			Value string `json:"value"`
		}
		if json.Unmarshal([]byte(c.CredentialData), &d) != nil || json.Unmarshal([]byte(c.SecretData), &s) != nil {
			return d, problem.Invalid.Errorf("cannot read a one-time-code device: its data is not JSON")
		}
		d.secret = []byte(s.Value)
		if d.Encoding == "BASE32" {
			var err error
			if d.secret, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(s.Value, "=")); err != nil {
				return d, problem.Invalid.Errorf("cannot read a one-time-code device: its secret is not base32")
			}
		}
	}
	if d.Period <= 0 {
		d.Period = 30
	}
	if d.Digits <= 0 {
		d.Digits = 6
	}
	if digests[d.Algorithm] == nil || d.Digits > 9 || len(d.secret) == 0 {
		return d, problem.Invalid.Errorf("cannot use a one-time-code device of algorithm %q with %d digits (known: HmacSHA1, HmacSHA256, HmacSHA512; at most 9)", d.Algorithm, d.Digits)
	}
	return d, nil
}

// code is the one-time code of a moving factor (RFC 4226, section 5.3).
func (d device) code(factor uint64) string {
	mac := hmac.New(digests[d.Algorithm], d.secret)
	var message [8]byte
	binary.BigEndian.PutUint64(message[:], factor)
	mac.Write(message[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	modulus := uint32(1)
	for range d.Digits {
		modulus *= 10
	}
	return fmt.Sprintf("%0*d", d.Digits, (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%modulus)
}

// match finds the moving factor that a typed code belongs to: with time (RFC
// 6238) up to window steps away, with a counter up to window ahead.
func (d device) match(typed string, now time.Time, window int) (factor uint64, ok bool) {
	from, to := d.Counter, d.Counter+window
	if d.Kind != "hotp" {
		step := int(now.Unix()) / d.Period
		from, to = step-window, step+window
	}
	for f := max(0, from); f <= to; f++ {
		if subtle.ConstantTimeCompare([]byte(d.code(uint64(f))), []byte(typed)) == 1 { //nolint:gosec // f is not negative
			factor, ok = uint64(f), true //nolint:gosec // as above
		}
	}
	return factor, ok
}

func isOTP(c *model.Credential) bool {
	return c.Type == otpType || c.Type == "totp" || c.Type == "hotp"
}

func devices(u *model.User) []model.Credential {
	var list []model.Credential
	for _, c := range u.Credentials {
		if isOTP(&c) {
			list = append(list, c)
		}
	}
	return list
}

// checkOTP verifies a one-time code and spends it: no code counts twice unless
// the realm allows it for time-based ones.
func (s *Step) checkOTP(u *model.User, selected, typed string) Result {
	realm := s.login.Realm
	locked, err := s.p.accounts.locked(s.ctx, realm, u.ID)
	if err != nil {
		return s.broken(err)
	}
	if locked {
		return s.wrongGuess(u.ID, "user_temporarily_disabled", "invalidTotpMessage")
	}
	credential, err := s.spendCode(u, selected, strings.TrimSpace(typed))
	if err != nil {
		return s.broken(err)
	}
	if credential == "" {
		if err := s.p.accounts.countFailure(s.ctx, realm, u, s.login.Site.Remote); err != nil {
			return s.broken(err)
		}
		return s.wrongGuess(u.ID, "invalid_user_credentials", "invalidTotpMessage")
	}
	if locked, err = s.p.accounts.locked(s.ctx, realm, u.ID); err != nil {
		return s.broken(err)
	}
	if locked { // guesses that ran beside this one reached the limit
		return s.wrongGuess(u.ID, "user_temporarily_disabled", "invalidTotpMessage")
	}
	s.login.Tab.AuthNotes[usedNote+otpType] = credential
	return Result{Status: Success}
}

// spendCode finds the device that a typed code belongs to and makes the code
// unusable; "" when it is of none, or was used before.
func (s *Step) spendCode(u *model.User, selected, typed string) (credential string, err error) {
	for _, c := range devices(u) {
		if selected != "" && c.ID != selected {
			continue
		}
		d, err := deviceOf(&c)
		if err != nil {
			s.p.Log.Warn().Err(err).Str("realm", s.login.Realm.Name).Str("user", u.ID).Msg("a one-time-code device cannot be used")
			continue
		}
		factor, ok := d.match(typed, s.p.Clock.Now(), s.window())
		if !ok {
			continue
		}
		if err := s.spend(u, c.ID, d, factor); err == nil {
			return c.ID, nil
		} else if !problem.Is(err, problem.Conflict) {
			return "", err
		}
	}
	return "", nil
}

func (s *Step) window() int {
	if w := s.login.Realm.OTPPolicyLookAheadWindow; w != nil {
		return min(max(0, *w), 100)
	}
	return 1
}

// spend makes a code unusable; problem.Conflict when it is already.
func (s *Step) spend(u *model.User, credential string, d device, factor uint64) error {
	realm := s.login.Realm
	if d.Kind != "hotp" {
		if realm.OTPPolicyCodeReusable {
			return nil
		}
		end := s.p.Clock.Now().Add(time.Duration((2*s.window()+2)*d.Period) * time.Second).Unix()
		return s.p.Store.Sessions().SingleUse.Put(s.ctx, realm.ID, fmt.Sprintf("otp.%s.%s.%d", u.ID, credential, factor), nil, end)
	}
	_, err := s.p.accounts.Change(s.ctx, realm.ID, u.ID, func(u *model.User) error {
		for i := range u.Credentials {
			c := &u.Credentials[i]
			if c.ID != credential {
				continue
			}
			now, err := deviceOf(c)
			if err != nil || uint64(now.Counter) > factor { //nolint:gosec // counters only grow from 0
				return problem.Conflict.Errorf("cannot use a one-time code twice")
			}
			return advance(c, int(factor)+1) //nolint:gosec // within the window of an int
		}
		return problem.NotFound.Errorf("cannot use a one-time code: its device is gone")
	})
	return err
}

// advance sets the counter of a device, keeping all else that is known of it.
func advance(c *model.Credential, counter int) error {
	if c.CredentialData == "" {
		c.Counter = counter
		return nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(c.CredentialData), &all); err != nil {
		return err
	}
	all["counter"] = json.RawMessage(fmt.Sprint(counter))
	data, err := json.Marshal(all)
	c.CredentialData = string(data)
	return err
}

// otpForm asks for a one-time code.
type otpForm struct{}

// OTPForm is the data of the page that asks for a one-time code.
type OTPForm struct {
	Links
	Devices []OTPDevice
}

// OTPDevice is one the user may choose.
type OTPDevice struct {
	ID, Label string
	Selected  bool
}

func (otpForm) NeedsUser() bool                        { return true }
func (otpForm) Configured(_ *Step, u *model.User) bool { return len(devices(u)) > 0 }

func (otpForm) Begin(s *Step) Result {
	u, err := s.User()
	if err != nil {
		return s.broken(err)
	}
	form := &OTPForm{}
	for i, c := range devices(u) {
		label := c.UserLabel
		if label == "" {
			label = fmt.Sprint(i + 1)
		}
		form.Devices = append(form.Devices, OTPDevice{c.ID, label, i == 0})
	}
	return Result{Status: Ask, Page: "otp", Data: form}
}

func (otpForm) Submit(s *Step) Result {
	u, err := s.User()
	if err != nil {
		return s.broken(err)
	}
	return s.checkOTP(u, s.form.Get("selectedCredentialId"), s.form.Get("otp"))
}
