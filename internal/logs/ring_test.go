package logs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
)

func TestARingKeepsTheNewestLinesWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(64, 500).Draw(t, "limit")
		r := NewRing(limit)
		var all []string
		for i := range rapid.IntRange(1, 60).Draw(t, "lines") {
			line := fmt.Sprintf("%d %s\n", i, strings.Repeat("x", rapid.IntRange(0, 20).Draw(t, "length")))
			all = append(all, line)
			if n, err := r.Write([]byte(line)); n != len(line) || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, len(line), err)
			}
		}
		text, whole := string(r.Text()), strings.Join(all, "")
		if len(text) > limit || !strings.HasSuffix(whole, text) || len(text) < min(len(whole), limit/2-24) {
			t.Fatalf("kept %d bytes of %d under a limit of %d: %q", len(text), len(whole), limit, text)
		}
		if text != "" && whole != text && whole[len(whole)-len(text)-1] != '\n' {
			t.Fatalf("half a line: %q", text)
		}
	})
}

func TestARememberingLoggerWritesBothInTheirForms(t *testing.T) {
	var out bytes.Buffer
	r := NewRing(1000)
	log := Remembering(&out, r, Human, zerolog.InfoLevel, clocktest.New(time.Unix(0, 0).UTC()))
	log.Info().Str("host", "one").Msg("hello")
	log.Debug().Msg("too low")
	if text := out.String(); !strings.Contains(text, "hello") || strings.Contains(text, `"message"`) {
		t.Errorf("written %q", text)
	}
	if text := string(r.Text()); !strings.Contains(text, `"message":"hello"`) || !strings.Contains(text, `"time":"1970-`) || strings.Contains(text, "too low") {
		t.Errorf("kept %q", text)
	}
}
