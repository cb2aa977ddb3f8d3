package authentication

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// setupNote of a tab keeps the secret of a device that is being set up, until
// the user has shown to have it.
const setupNote = "otp.setup"

// otpSetup gives the user a device for one-time codes.
type otpSetup struct{}

// OTPSetupForm is the data of the page that sets up a device.
type OTPSetupForm struct {
	Links
	Secret          string // base32, in groups of four
	URI             string
	Kind, Algorithm string
	Digits          int
	Step            string
}

func (otpSetup) Begin(s *Step, u *model.User) Result {
	notes := s.login.Tab.AuthNotes
	if notes[setupNote] == "" {
		notes[setupNote] = rand.Text()[:20]
	}
	d := s.newDevice()
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(d.secret)
	form := &OTPSetupForm{Secret: grouped(secret), Kind: strings.ToUpper(d.Kind), Algorithm: strings.TrimPrefix(d.Algorithm, "Hmac"), Digits: d.Digits, Step: fmt.Sprint(d.Period) + " s"}
	q := url.Values{"secret": {secret}, "digits": {fmt.Sprint(d.Digits)}, "algorithm": {form.Algorithm}, "issuer": {s.login.Realm.Name}}
	if d.Kind == "hotp" {
		q.Set("counter", fmt.Sprint(d.Counter))
		form.Step = "#" + fmt.Sprint(d.Counter)
	} else {
		q.Set("period", fmt.Sprint(d.Period))
	}
	form.URI = "otpauth://" + d.Kind + "/" + url.PathEscape(s.login.Realm.Name+":"+u.Username) + "?" + q.Encode()
	return Result{Status: Ask, Page: "totp-setup", Data: form}
}

// newDevice is the device of the realm's policy with the secret of this setup.
func (s *Step) newDevice() device {
	r := s.login.Realm
	d := device{Kind: "totp", Digits: 6, Period: 30, Algorithm: "HmacSHA1", Counter: r.OTPPolicyInitialCounter, secret: []byte(s.login.Tab.AuthNotes[setupNote])}
	if r.OTPPolicyType == "hotp" {
		d.Kind = "hotp"
	}
	if r.OTPPolicyDigits == 8 {
		d.Digits = 8
	}
	if r.OTPPolicyPeriod > 0 {
		d.Period = r.OTPPolicyPeriod
	}
	if digests[r.OTPPolicyAlgorithm] != nil && r.OTPPolicyAlgorithm != "" {
		d.Algorithm = r.OTPPolicyAlgorithm
	}
	return d
}

func (otpSetup) Submit(s *Step, u *model.User) Result {
	d := s.newDevice()
	factor, ok := d.match(strings.ReplaceAll(strings.TrimSpace(s.form.Get("totp")), " ", ""), s.p.Clock.Now(), s.window())
	if !ok || len(d.secret) == 0 {
		return wrong("invalidTotpMessage")
	}
	if d.Kind == "hotp" {
		d.Counter = int(factor) + 1 //nolint:gosec // within the window of an int
	}
	data, err := json.Marshal(d)
	if err != nil {
		return s.broken(err)
	}
	secret, err := json.Marshal(map[string]string{"value": string(d.secret)})
	if err != nil {
		return s.broken(err)
	}
	c := model.Credential{ID: uuid.NewString(), Type: otpType, UserLabel: truncated(strings.TrimSpace(s.form.Get("userLabel"))),
		CreatedDate: s.p.Clock.Now().UnixMilli(), CredentialData: string(data), SecretData: string(secret)}
	_, err = s.p.accounts.Change(s.ctx, s.login.Realm.ID, u.ID, func(u *model.User) error {
		u.Credentials = append(u.Credentials, c)
		return nil
	})
	if err != nil {
		return s.broken(err)
	}
	delete(s.login.Tab.AuthNotes, setupNote)
	return Result{Status: Success}
}

func grouped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
