package hostagent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"runtime/pprof"
)

// bundleLines is how much of each server's log a support bundle has.
const bundleLines = 5000

// sensitive names attributes whose values a bundle must not show. It is wider
// than the descriptions of the model: a bundle leaves the house.
var sensitive = regexp.MustCompile(`(?i)(password|secret|credential|token|private|keystore|(^|[-_.])(key|pin)$)`)

// withinURL finds passwords inside of addresses: user:password@host, and
// password=... among parameters.
var withinURL = regexp.MustCompile(`(?i)(://[^/@:\s]*:)[^/@\s]+@?|(\bpassword=)[^&;\s]+`)

// masked takes the place of a secret.
const masked = "***"

// mask gives a JSON value without its secrets.
func mask(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[name] = mask(inner)
			if _, resource := inner.(map[string]any); !resource && sensitive.MatchString(name) {
				out[name] = masked
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = mask(v[i])
		}
		return out
	case string:
		return withinURL.ReplaceAllString(v, "$1$2"+masked)
	}
	return v
}

// bundle writes what support needs as a .tar.gz: the configuration with its
// secrets masked, the state, the ends of the logs and the agent's goroutines.
func (a *Agent) bundle(output func([]byte) error) error {
	z := gzip.NewWriter(chunks(output))
	t := tar.NewWriter(z)
	add := func(name string, data []byte) error {
		header := &tar.Header{Name: "gatehouse-" + a.host + "/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: a.config.Clock.Now()}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	}
	a.mu.Lock()
	snapshot := append([]byte(nil), a.snapshot.Content...)
	configs := map[string][]byte{}
	for name, v := range a.servers {
		configs[name] = v.content
	}
	a.mu.Unlock()
	var goroutines bytes.Buffer
	err := errors.Join(
		add("snapshot.json", maskJSON(snapshot)),
		addJSON(add, "servers.json", a.Servers()),
		addJSON(add, "link.json", a.link.State()),
		addJSON(add, "facts.json", facts(a.config.Dir)),
		pprof.Lookup("goroutine").WriteTo(&goroutines, 2),
		add("goroutines.txt", goroutines.Bytes()),
	)
	if a.config.Recent != nil {
		err = errors.Join(err, add("agent.log", maskLines(a.config.Recent())))
	}
	for _, name := range sortedNames(configs) {
		var log bytes.Buffer
		err = errors.Join(err, add("servers/"+name+"/configuration.json", maskJSON(configs[name])))
		_ = a.supervisor.ReadLog(context.Background(), name, bundleLines, false, func(b []byte) error {
			log.Write(b)
			return nil
		}) // one that was never defined has no log
		err = errors.Join(err, add("servers/"+name+"/server.log", log.Bytes()))
	}
	return errors.Join(err, t.Close(), z.Close())
}

// withinLine is withinURL for texts that are full of addresses with ports.
var withinLine = regexp.MustCompile(`(?i)(://[^/@:\s"]*:)[^/@\s"]+@|(\bpassword=)[^&;\s"]+`)

// maskLines masks a log of JSON lines; what is no JSON has its addresses masked.
func maskLines(text []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		var fields map[string]any
		secret := false
		if json.Unmarshal(line, &fields) == nil {
			for name := range fields {
				if sensitive.MatchString(name) {
					fields[name], secret = masked, true
				}
			}
		}
		if again, err := json.Marshal(fields); secret && err == nil {
			line = append(again, '\n')
		}
		out.Write(withinLine.ReplaceAll(line, []byte("$1$2"+masked)))
	}
	return out.Bytes()
}

func addJSON(add func(string, []byte) error, name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return add(name, data)
}

func maskJSON(data []byte) []byte {
	var v any
	if json.Unmarshal(data, &v) != nil {
		return nil
	}
	out, err := json.MarshalIndent(mask(v), "", "  ")
	if err != nil {
		return nil
	}
	return out
}

// chunks makes a writer of a function.
type chunks func([]byte) error

var _ io.Writer = chunks(nil)

func (c chunks) Write(p []byte) (int, error) {
	if err := c(append([]byte(nil), p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}
