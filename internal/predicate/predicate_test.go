package predicate_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/predicate"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func request() *http.Request {
	r := httptest.NewRequest("POST", "http://idp.example:8443/auth/admin/realms?kind=x&empty=", nil)
	r.Header.Set("X-Forwarded-Proto", "https")
	r.AddCookie(&http.Cookie{Name: "ROUTE", Value: "one"})
	r.RemoteAddr = "10.1.2.3:4711"
	return r
}

func TestPredicatesHoldAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]bool{
		"true": true, "false": false, "not false": true, "secure": false, "secure()": false,
		"path(/auth/admin/realms)": true, "path(auth/admin/realms)": true, "path[/auth/admin]": false, "path(/x, /auth/admin/realms/)": true, "path(path={/x, /auth/admin/realms})": true,
		"path-prefix(/auth)": true, "path-prefix(/auth/admin/)": true, "path-prefix(/aut)": false, "path-prefix(/)": true,
		"path-suffix(realms)": true, "path-suffix('.js', '.css')": false,
		"method(GET, POST)": true, "method(get)": false, "method(value=post)": true,
		`regex("^/auth/(admin|realms)/")`: true, "regex(pattern='/adm\\w+', value=%U)": true, `regex(pattern="admin", full-match=true)`: false,
		`regex("h.*", %{i,X-Forwarded-Proto})`: true, `regex(".*", %{i,Missing})`: false,
		`equals(%{i,X-Forwarded-Proto}, "https")`: true, `equals[%{i,Missing}, ""]`: false, "equals(%m, POST, POST)": true, "equals({%m, POST})": true,
		"equals(%{c,ROUTE}, one)": true, "equals(%{q,kind}, x)": true, "equals(%{q,empty}, '')": true, "equals(%{i,Host}, 'idp.example:8443')": true,
		"equals(%v, idp.example)": true, "equals(%a, 10.1.2.3)": true, "equals(%{SCHEME}, http)": true, "equals('%{SCHEME}://%v', 'http://idp.example')": true, "equals('%%m', '%%m')": true,
		"contains(%q, kind, other)": true, "contains(value=%q, search={none, 'empty='})": true, "exists(%{i,X-Forwarded-Proto})": true, "exists(%{c,none})": false,
		"false and false or true": true, "true or false and false": true, "not true or true": true, "not (true or true)": false, "(true)and(true)": true,
		"path-prefix(/auth/admin) and not method(GET, HEAD)": true,
	} {
		p, err := predicate.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := p.Match(request()); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	p, err := predicate.Parse("secure and equals(%{SCHEME}, https)")
	if err != nil {
		t.Fatal(err)
	}
	if r := request(); p.Match(r) {
		t.Error("plain HTTP is secure")
	} else if r.TLS = &(tls.ConnectionState{}); !p.Match(r) {
		t.Error("HTTPS is not secure")
	}
}

func TestWhatIsNoPredicateIsRefusedByNameAndPlace(t *testing.T) {
	for text, want := range map[string]string{
		"": "at position 1 there is the end", "maybe": `no predicate "maybe" at position 1`, "true and max-content-size(5)": `no predicate "max-content-size" at position 10`,
		"path": "needs path", "path()": "needs path", "true(1)": "takes no parameters", "true true": `at position 6 there is "true"`, "not": "the end",
		"(true": "valid: )", "path(/a": "valid: , or )", "path(/a]": "valid: , or )", "path('/a": "a quote without its end", "exists(%{i,X)": "%{ without }",
		"exists(%{x,X})": `no attribute "%{x,X}"`, "exists(%z)": `no attribute "%{z}"`, `regex("(")`: "no regular expression", "regex(%m)": "depends on the request",
		"regex(a, %m, %U)": "one pattern and one value", "regex(a, full-match=maybe)": `full-match="maybe"`,
		"equals(a)": "two values", "contains(a)": "what to search for", "method(name=GET)": `no parameter "name"`, "path(path=a, path=b)": "given twice", "path(/a, path=/b)": "both",
		"path-template(/a)": `no predicate "path-template"`, strings.Repeat("not ", 60) + "true": "nested more than", strings.Repeat("x", 5000): "longer than",
	} {
		_, err := predicate.Parse(text)
		if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}

func TestNoTextMakesTheParserFail(t *testing.T) {
	piece := rapid.SampledFrom([]string{"true", "not", "and", "or", "(", ")", "[", "]", "{", "}", ",", "=", "path", "regex", "equals", "%{i,A}", "%", "%{", "'", `"`, `\`, " ", "/a", "é", "\x00"})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 20).Draw(t, "pieces"), "")
		p, err := predicate.Parse(text)
		if err != nil {
			if !problem.Is(err, problem.Invalid) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := predicate.Parse(p.String())
		if err != nil || again.Match(request()) != p.Match(request()) {
			t.Fatalf("%q: read again: %v", text, err)
		}
	})
}
