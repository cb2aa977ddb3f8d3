package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/cli/lang"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// howtos are the pages of docs/howto in the order in which they are tried: the
// first one starts the domain.
var howtos = []string{
	"several-machines", "add-a-host", "monitoring", "console", "postgresql", "tls", "roll-back", "what-to-do-when", "rotate-the-authority",
	"upgrade", "import-a-realm", "standalone", "systemd",
}

// TestEveryCommandOfTheHowtosRuns runs the fenced blocks of all pages on one
// domain, in a network of two machines: this one is 10.0.0.1, the second
// 10.0.0.2. A page says in its source, where its reader does not see it, what is
// done with a block:
//
//   - ```sh: a shell runs it, and "sh second" on the second machine
//   - ```cli ARGUMENTS: "gatehouse cli ARGUMENTS" reads it; /etc/gatehouse is the
//     folder etc
//   - ```toml FILE: it is written to a file; other languages are not commands
//   - <!-- tried with: COMMANDS -->: what a shell runs here besides
//   - <!-- not tried: REASON -->: the next block is left out
func TestEveryCommandOfTheHowtosRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a domain; run without -short")
	}
	needNetworks(t)
	needTools(t, "bash", "curl", "jq", "nsenter", "unshare")
	pages, err := filepath.Glob("../docs/howto/*.md")
	if err != nil || len(pages) != len(howtos) {
		t.Fatalf("%d pages, and %d are tried: %v", len(pages), len(howtos), err)
	}
	realm, err := filepath.Abs("../server/storage/realmfile/testdata/kc-testrealm.json")
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := pair(t)
	script := machines + file("domain.toml", string(profiles.DefaultTOML(profiles.Domain))) +
		file("etc/tls.pem", certificate) + file("etc/tls.key", key) + "REALM=" + realm + "\n"
	for _, name := range howtos {
		page := filepath.Join("../docs/howto", name+".md")
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := stepsOf(string(text))
		if err != nil {
			t.Fatalf("%s: %v", page, err)
		}
		for _, s := range steps {
			if s.why != "" {
				t.Logf("%s:%d is not tried: %s", page, s.line, s.why)
				continue
			}
			script += fmt.Sprintf("echo \"=== docs/howto/%s.md:%d, after $SECONDS s\"\n%s\n", name, s.line, s.shell)
		}
	}
	out := inShell(t, script+"echo 'every page was tried'\n")
	if !strings.Contains(out, "every page was tried") || testing.Verbose() {
		t.Logf("%s", out)
	}
}

// pair is a certificate and its key, in PEM.
func pair(t *testing.T) (certificate, key string) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	own := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// file is what the shell does to write one.
func file(path, text string) string { return "cat > " + path + " <<'END'\n" + text + "END\n" }

// machines is how the shell begins: a second machine, and a gatehouse that leaves
// what runs on in the background once it is ready. A reader who is asked for a
// password types one.
const machines = `set -eo pipefail
unshare -n sleep infinity & SECOND=$!
export SECOND
ends() { set +e; kill $(jobs -p); wait; }
trap ends EXIT
until [ "$(readlink /proc/$SECOND/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link set lo up
ip link add first type veth peer name second netns $SECOND
ip addr add 10.0.0.1/24 dev first
ip link set first up
nsenter -t $SECOND -n ip link set lo up
nsenter -t $SECOND -n ip addr add 10.0.0.2/24 dev second
nsenter -t $SECOND -n ip link set second up
mkdir second etc
TOP=$PWD
PROGRAM=$(command -v gatehouse)
gatehouse() {
  local log=$PWD/$1.log
  case "$1 $2" in
  *" install" | *" recover") "$PROGRAM" "$@" ;;
  "controller "* | "agent "* | "start "* | "start-dev "*)
    $ON "$PROGRAM" "$@" > "$log" 2>&1 < /dev/null &
    until grep -q -e '"ready"' -e 'is ready' -e 'took a snapshot' "$log"; do kill -0 $! || { cat "$log"; return 1; }; sleep 0.02; done ;;
  *) $ON "$PROGRAM" "$@" ;;
  esac
}
printf 'S3cret-of-a-reader\n%.0s' 1 2 3 4 5 6 7 8 9 > answers
`

// step is one block or hidden command of a page.
type step struct {
	line  int
	shell string
	why   string // it is not tried
}

var (
	fence  = regexp.MustCompile("^```([a-z]*) ?(.*)$")
	hidden = regexp.MustCompile(`(?s)^<!-- (tried with|not tried):\s+(.*?)\s*-->`)
)

// stepsOf reads a page.
func stepsOf(page string) (steps []step, err error) {
	why := ""
	for line := 1; page != ""; {
		if m := hidden.FindStringSubmatch(page); m != nil {
			if m[1] == "not tried" {
				why = m[2]
			} else {
				steps = append(steps, step{line: line, shell: m[2]})
			}
			line += strings.Count(m[0], "\n")
			page = page[len(m[0]):]
		}
		text, rest, _ := strings.Cut(page, "\n")
		if m := fence.FindStringSubmatch(text); m != nil {
			block, after, ended := strings.Cut(rest, "```\n")
			if !ended {
				return nil, fmt.Errorf("line %d: the block has no end", line)
			}
			s := step{line: line, why: why}
			if s.shell, err = command(m[1], m[2], block); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			if s.shell != "" || why != "" {
				steps = append(steps, s)
			}
			why, rest = "", after
			line += strings.Count(block, "\n") + 1
		}
		page = rest
		line++
	}
	if why != "" {
		return nil, fmt.Errorf("no block follows %q", why)
	}
	return steps, nil
}

// command is what the shell does with a block: nothing where it is none.
func command(language, more, block string) (string, error) {
	switch {
	case language == "sh" && more == "":
		return "{\n" + block + "} < answers", nil
	case language == "sh" && more == "second":
		return "ON=\"nsenter -t $SECOND -n\"; cd second\n{\n" + block + "} < ../answers\ncd ..; ON=", nil
	case language == "cli":
		return "sed \"s|/etc/gatehouse|$TOP/etc|\" > commands <<'END'\n" + block + "END\ngatehouse cli --file=commands " + more, nil
	case language == "toml" && more != "":
		return file(more, block), nil
	case language == "" || language == "toml":
		return "", fmt.Errorf("how is the block %q %q to be tried?", language, more)
	default:
		return "", nil
	}
}

// Operations that a page names in passing are there, with the parameters that it
// gives them.
func TestOperationsThatThePagesNameAreDescribed(t *testing.T) {
	pages, err := filepath.Glob("../docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	inline := regexp.MustCompile("`((?:/[a-z]+-?[a-z-]*=[^`: ]*)?:[a-z-]+(?:\\([^`]*\\))?)(?:\\{[^`]*\\})?`")
	seen := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(page, "/reference/") {
			continue // it is made of the descriptions
		}
		for _, found := range inline.FindAllStringSubmatch(string(text), -1) {
			op, err := lang.ParseOperation(strings.ReplaceAll(found[1], "...", "x"), nil)
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if !described(op, profiles.Domain) && !described(op, profiles.Standalone) {
				t.Errorf("%s names %s, which is not there", page, found[1])
			}
			seen++
		}
	}
	if seen < 20 {
		t.Errorf("found %d operations", seen)
	}
}

func described(op profiles.Operation, mode profiles.Mode) bool {
	at, err := mode.Describe(op.Address)
	if err != nil {
		return false
	}
	for _, o := range at.AllOperations() {
		known := o.Name == op.Name
		for name := range op.Params {
			known = known && slices.ContainsFunc(o.Params, func(p profiles.Attribute) bool { return p.Name == name })
		}
		if known {
			return true
		}
	}
	return false
}
