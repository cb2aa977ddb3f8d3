package authentication

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

func TestOneTimeCodes_RFC4226_AppendixD(t *testing.T) {
	d := device{Digits: 6, secret: []byte("12345678901234567890")}
	for i, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := d.code(uint64(i)); got != want {
			t.Errorf("count %d: %s, want %s", i, got, want)
		}
	}
}

func TestTimeBasedCodes_RFC6238_AppendixB(t *testing.T) {
	const seed = "1234567890123456789012345678901234567890123456789012345678901234"
	for _, v := range []struct {
		at        int64
		algorithm string
		bytes     int
		want      string
	}{
		{59, "HmacSHA1", 20, "94287082"}, {59, "HmacSHA256", 32, "46119246"}, {59, "HmacSHA512", 64, "90693936"},
		{1111111109, "HmacSHA1", 20, "07081804"}, {1111111109, "HmacSHA256", 32, "68084774"}, {1111111109, "HmacSHA512", 64, "25091201"},
		{20000000000, "HmacSHA1", 20, "65353130"}, {20000000000, "HmacSHA256", 32, "77737706"}, {20000000000, "HmacSHA512", 64, "47863826"},
	} {
		d := device{Kind: "totp", Digits: 8, Period: 30, Algorithm: v.algorithm, secret: []byte(seed[:v.bytes])}
		if _, ok := d.match(v.want, time.Unix(v.at, 0), 0); !ok {
			t.Errorf("%s at %d: %s, want %s", v.algorithm, v.at, d.code(uint64(v.at/30)), v.want)
		}
	}
}

func TestACodeIsTakenWithinTheWindowOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := device{Kind: rapid.SampledFrom([]string{"totp", "hotp"}).Draw(t, "kind"), Digits: 9, Period: 30, Counter: 1000, secret: []byte(rapid.StringN(10, 30, -1).Draw(t, "secret"))}
		window, off := rapid.IntRange(0, 5).Draw(t, "window"), rapid.IntRange(-10, 10).Draw(t, "off")
		_, ok := d.match(d.code(uint64(1000+off)), time.Unix(1000*30+7, 0), window)
		want := off <= window && off >= -window
		if d.Kind == "hotp" {
			want = off >= 0 && off <= window
		}
		if ok != want {
			t.Fatalf("%d away in a window of %d: %v", off, window, ok)
		}
	})
}

func TestDevicesOfEveryAgeAreRead(t *testing.T) {
	for name, c := range map[string]model.Credential{
		"present":     {Type: "otp", CredentialData: `{"subType":"totp","digits":6,"counter":0,"period":30,"algorithm":"HmacSHA1"}`, SecretData: `{"value":"12345678901234567890"}`},
		"base32":      {Type: "otp", CredentialData: `{"subType":"totp","digits":6,"period":30,"algorithm":"HmacSHA1","secretEncoding":"BASE32"}`, SecretData: `{"value":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}`},
		"before 8":    {Type: "totp", Value: "12345678901234567890", Algorithm: "HmacSHA1", Digits: 6, Period: 30},
		"no settings": {Type: "otp", CredentialData: `{"subType":"totp"}`, SecretData: `{"value":"12345678901234567890"}`},
	} {
		d, err := deviceOf(&c)
		if err != nil || d.code(0) != "755224" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]model.Credential{
		"not JSON":  {Type: "otp", CredentialData: "{", SecretData: "{}"},
		"no secret": {Type: "otp", CredentialData: "{}", SecretData: "{}"},
		"algorithm": {Type: "otp", CredentialData: `{"algorithm":"MD5"}`, SecretData: `{"value":"x"}`},
		"digits":    {Type: "otp", CredentialData: `{"digits":30}`, SecretData: `{"value":"x"}`},
	} {
		if _, err := deviceOf(&c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestWaitsAfterFailures(t *testing.T) {
	rules := model.BruteForce{Enabled: true, FailureFactor: 3, WaitIncrement: time.Minute, MaxWait: 150 * time.Second,
		QuickLoginCheck: time.Second, MinimumQuickWait: 5 * time.Second, MaxDelta: time.Hour}
	linear := rules
	linear.Linear = true
	for _, c := range []struct {
		name  string
		rules model.BruteForce
		every time.Duration
		want  []int64 // seconds of wait after each failure
	}{
		{"multiple", rules, time.Minute, []int64{0, 0, 60, 60, 60, 120, 120, 120, 150}},
		{"linear", linear, time.Minute, []int64{0, 0, 60, 120, 150, 150}},
		{"quick", rules, 100 * time.Millisecond, []int64{0, 5, 60}},
		{"forgotten after a while", rules, 2 * time.Hour, []int64{0, 0, 0, 0, 0}},
	} {
		var f model.LoginFailure
		now := time.Unix(1_000_000, 0)
		for i, want := range c.want {
			f.NotBefore = 0
			if fail(&f, c.rules, now) {
				t.Errorf("%s: locked for good", c.name)
			}
			if got := max(0, f.NotBefore-now.Unix()); got != want {
				t.Errorf("%s, failure %d: waits %d s, want %d", c.name, i+1, got, want)
			}
			now = now.Add(c.every)
		}
	}
}
