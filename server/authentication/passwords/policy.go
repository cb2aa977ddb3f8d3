package passwords

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// MaxLength is the most characters of a password where the policy names no
// limit, as in Keycloak; hashing megabytes would be a gift to an attacker.
const MaxLength = 256

// Policy is a realm's password policy. The zero Policy demands nothing but a
// length of at most MaxLength, and hashes with the default algorithm.
type Policy struct {
	Algorithm  string // "": Argon2
	Iterations int    // 0: the algorithm's default
	History    int    // earlier passwords that may not come back
	ExpireDays int    // after which a password must be changed; 0: never
	Unknown    []string
	rules      []rule
}

// Subject is whose password it is.
type Subject struct{ Username, Email string }

// Violation is a rule that a password breaks: the key of a message of the
// themes and its arguments.
type Violation struct {
	Message   string
	Arguments []string
}

// rule returns false for a password that breaks it.
type rule struct {
	broken  func(password string, of Subject) bool
	message string
	value   string
}

// maxDefaultArgon2 bounds hashIterations where no algorithm is named: realms
// from before Keycloak 25 mean PBKDF2's 27,500, which Argon2 would take minutes
// for.
const maxDefaultArgon2 = 50

// ParsePolicy reads a policy as realms keep it: "length(8) and digits(1)". A
// rule that is not known is kept in Unknown, for the caller to report; one whose
// value cannot be used is problem.Invalid.
func ParsePolicy(text string) (Policy, error) {
	var p Policy
	for _, part := range strings.Split(text, " and ") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "(")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		value = strings.TrimSuffix(value, ")")
		if err := p.add(name, value); err != nil {
			return Policy{}, err
		}
	}
	if p.Algorithm == "" && p.Iterations > maxDefaultArgon2 {
		p.Iterations = 0
	}
	return p, nil
}

// counts are the rules "at least so many characters of this class".
var counts = map[string]struct {
	of      func(rune) bool
	message string
}{
	"digits":       {unicode.IsDigit, "invalidPasswordMinDigitsMessage"},
	"upperCase":    {unicode.IsUpper, "invalidPasswordMinUpperCaseCharsMessage"},
	"lowerCase":    {unicode.IsLower, "invalidPasswordMinLowerCaseCharsMessage"},
	"specialChars": {func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }, "invalidPasswordMinSpecialCharsMessage"},
}

func (p *Policy) add(name, value string) (err error) {
	if c, ok := counts[name]; ok {
		return p.number(name, value, 1, func(n int) {
			p.rules = append(p.rules, rule{func(s string, _ Subject) bool { return count(s, c.of) < n }, c.message, strconv.Itoa(n)})
		})
	}
	switch name {
	case "length":
		return p.number(name, value, 8, func(n int) {
			p.rules = append(p.rules, rule{func(s string, _ Subject) bool { return utf8.RuneCountInString(s) < n }, "invalidPasswordMinLengthMessage", strconv.Itoa(n)})
		})
	case "maxLength":
		return p.number(name, value, 64, func(n int) {
			p.rules = append(p.rules, rule{func(s string, _ Subject) bool { return utf8.RuneCountInString(s) > n }, "invalidPasswordMaxLengthMessage", strconv.Itoa(n)})
		})
	case "hashIterations":
		return p.number(name, value, 0, func(n int) { p.Iterations = n })
	case "passwordHistory":
		return p.number(name, value, 3, func(n int) { p.History = n })
	case "forceExpiredPasswordChange":
		return p.number(name, value, 365, func(n int) { p.ExpireDays = n })
	case "hashAlgorithm":
		if value != "" && !slices.Contains(Algorithms(), value) {
			return problem.Unsupported.Errorf("cannot hash passwords with %q (known: %v)", value, Algorithms())
		}
		p.Algorithm = value
	case "notUsername":
		p.rules = append(p.rules, rule{func(s string, of Subject) bool { return of.Username != "" && strings.EqualFold(s, of.Username) }, "invalidPasswordNotUsernameMessage", ""})
	case "notContainsUsername":
		p.rules = append(p.rules, rule{func(s string, of Subject) bool {
			return of.Username != "" && strings.Contains(strings.ToLower(s), strings.ToLower(of.Username))
		}, "invalidPasswordNotContainsUsernameMessage", ""})
	case "notEmail":
		p.rules = append(p.rules, rule{func(s string, of Subject) bool { return of.Email != "" && strings.EqualFold(s, of.Email) }, "invalidPasswordNotEmailMessage", ""})
	case "regexPattern":
		return p.pattern(value)
	default:
		p.Unknown = append(p.Unknown, name)
	}
	return nil
}

// pattern adds a rule that the whole password matches. Java's lookarounds have
// no counterpart in RE2; such a policy refuses rather than lets pass.
func (p *Policy) pattern(value string) error {
	re, err := regexp.Compile(`^(?:` + value + `)$`)
	if err != nil {
		return problem.Unsupported.Errorf("cannot use the password policy regexPattern %q: %w", value, err)
	}
	p.rules = append(p.rules, rule{func(s string, _ Subject) bool { return !re.MatchString(s) }, "invalidPasswordRegexPatternMessage", value})
	return nil
}

func (p *Policy) number(name, value string, fallback int, set func(int)) error {
	if value == "" || value == "undefined" {
		set(fallback)
		return nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < 0 && name != "hashIterations" {
		return problem.Invalid.Errorf("cannot use the password policy %s(%s): it is not a number of at least 0", name, value)
	}
	set(n)
	return nil
}

// Check returns the first rule that a new password breaks, or nil. The history
// is checked by whoever holds it.
func (p Policy) Check(password string, of Subject) *Violation {
	if utf8.RuneCountInString(password) > MaxLength {
		return &Violation{"invalidPasswordMaxLengthMessage", []string{strconv.Itoa(MaxLength)}}
	}
	for _, r := range p.rules {
		if !r.broken(password, of) {
			continue
		}
		v := &Violation{Message: r.message}
		if r.value != "" {
			v.Arguments = []string{r.value}
		}
		return v
	}
	return nil
}

func count(s string, of func(rune) bool) int {
	n := 0
	for _, r := range s {
		if of(r) {
			n++
		}
	}
	return n
}
