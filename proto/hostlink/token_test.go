package hostlink

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestATruncatedJoinTokenIsNamedAsSuchAndNoErrorShowsTheSecret(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := JoinToken{Name: rapid.StringMatching(`[a-zä-ü"\\]{1,20}`).Draw(t, "name"), Secret: "S3CRET" + rapid.StringMatching(`[A-Z2-7]{20,46}`).Draw(t, "secret"),
			Fingerprint: "sha256:" + rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "fingerprint")}
		text := token.Encode()
		if back, err := ReadJoinToken(" " + text + "\n"); err != nil || back != token {
			t.Fatalf("read back %v, %v", back, err)
		}
		cut := text[:rapid.IntRange(1, len(text)-1).Draw(t, "cut")]
		_, err := ReadJoinToken(cut)
		if err == nil || !strings.Contains(err.Error(), "ends too early") {
			t.Fatalf("%d of %d characters: %v", len(cut), len(text), err)
		}
		if strings.Contains(err.Error(), "S3CRET") || len(cut) > 30 && strings.Contains(err.Error(), cut[20:]) {
			t.Fatalf("the error shows the token: %v", err)
		}
	})
}

func TestWhatIsWrongWithAJoinTokenIsSaid(t *testing.T) {
	good := JoinToken{Name: "h", Secret: "s", Fingerprint: "sha256:00"}.Encode()
	for text, want := range map[string]string{
		"":                            "empty",
		"hello":                       "must begin with",
		"gatehouse-join-v2.abc":       "must begin with",
		good[:30] + "%" + good[30:]:   "character 31",
		good[:len(good)-1] + "!":      "character",
		good + good[18:]:              "something follows it",
		"gatehouse-join-v1.e30":       "needs a name",
		good[:40] + "\n" + good[40:]:  "",
		"gatehouse-join-v1.W10":       "changed",
		strings.Repeat("a", 1_000_00): "must begin with",
	} {
		if _, err := ReadJoinToken(text); err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}
