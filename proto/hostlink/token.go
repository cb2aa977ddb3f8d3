package hostlink

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// tokenPrefix begins a join token's text; the number is its version.
const tokenPrefix = "gatehouse-join-v1."

// JoinToken is what one host or controller needs to join. It holds a secret:
// do not print it.
type JoinToken struct {
	Name        string `json:"host"` // of the host or controller
	Secret      string `json:"secret"`
	Fingerprint string `json:"fingerprint"` // of the domain's authority, as certs.Fingerprint
}

// Encode is the token's text, one word: "gatehouse-join-v1." and base64url of
// its JSON.
func (t JoinToken) Encode() string {
	text, err := json.Marshal(t)
	if err != nil { // cannot be: three strings
		return ""
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(text)
}

// ReadJoinToken reads a token's text. Its errors say of "it", the token, what is
// wrong, a part that was lost in copying above all, and never show the text.
func ReadJoinToken(text string) (JoinToken, error) {
	text = strings.TrimSpace(text)
	body, ok := strings.CutPrefix(text, tokenPrefix)
	switch {
	case text == "":
		return JoinToken{}, errors.New("it is empty")
	case !ok && strings.HasPrefix(tokenPrefix, text):
		return JoinToken{}, tooShort(text)
	case !ok:
		return JoinToken{}, fmt.Errorf("it must begin with %q", tokenPrefix)
	}
	body = strings.TrimRight(body, "=")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if at := base64.CorruptInputError(0); errors.As(err, &at) {
		// One sign of four is no byte: the others are missing.
		if int(at) < len(body)-1 || !strings.ContainsAny(body[len(body)-1:], alphabet) {
			return JoinToken{}, fmt.Errorf("its character %d is none that a token has", len(tokenPrefix)+int(at)+1)
		}
		return JoinToken{}, tooShort(text)
	}
	var t JoinToken
	err = json.Unmarshal(raw, &t)
	if broken := (*json.SyntaxError)(nil); errors.As(err, &broken) && broken.Offset >= int64(len(raw)) {
		return JoinToken{}, tooShort(text)
	}
	if err != nil {
		return JoinToken{}, fmt.Errorf("it was changed after %q, or something follows it", tokenPrefix)
	}
	if t.Name == "" || t.Secret == "" || t.Fingerprint == "" {
		return JoinToken{}, fmt.Errorf("it needs a name, a secret and a fingerprint")
	}
	return t, nil
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func tooShort(text string) error {
	return fmt.Errorf("it ends too early, after %d characters: copy all of it, it is one line", len(text))
}
