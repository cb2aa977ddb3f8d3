package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// readable prints a log's lines for people: those of our processes are JSON and
// become "time LEVEL message name=value ..."; others stay as they are.
func readable(log string) string {
	var out strings.Builder
	for line := range strings.Lines(log) {
		text := strings.TrimRight(line, "\n")
		out.WriteString(readableLine(text))
		out.WriteString(line[len(text):])
	}
	return out.String()
}

// usual are the fields that every line of a server has: its page says the same.
var usual = [...]string{"time", "level", "message", "node", "site", "server", "host"}

func readableLine(line string) string {
	var fields map[string]any
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &fields) != nil || fields["message"] == nil || fields["time"] == nil {
		return line
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%v %-5s %v", fields["time"], strings.ToUpper(fmt.Sprint(fields["level"])), fields["message"])
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if slices.Contains(usual[:], name) {
			continue
		}
		value, ok := fields[name].(string)
		if !ok || strings.ContainsAny(value, " \"") {
			encoded, err := json.Marshal(fields[name])
			if err != nil {
				return line
			}
			value = string(encoded)
		}
		fmt.Fprintf(&out, " %s=%s", name, value)
	}
	return out.String()
}
