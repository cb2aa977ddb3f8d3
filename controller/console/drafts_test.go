package console

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func TestAPlannedSecretIsKeptEncryptedForMinutesForItsOwnerAndOneUse(t *testing.T) {
	fake := clocktest.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	d := newDrafts(fake)
	keep := func() string {
		t.Helper()
		id, err := d.put("ann", []byte("the secret"))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	id := keep()
	for _, kept := range d.kept {
		if bytes.Contains(kept.sealed, []byte("secret")) {
			t.Error("it is kept in clear")
		}
	}
	if text, err := d.take("ann", id); err != nil || string(text) != "the secret" {
		t.Errorf("%q, %v", text, err)
	}
	other, old := keep(), keep()
	refused := map[string]func() error{
		"a second use":   func() error { _, err := d.take("ann", id); return err },
		"another's":      func() error { _, err := d.take("eve", other); return err },
		"a guess":        func() error { _, err := d.take("ann", "x"); return err },
		"after its time": func() error { fake.Advance(draftLifetime); _, err := d.take("ann", old); return err },
	}
	for _, name := range []string{"a second use", "another's", "a guess", "after its time"} {
		if err := refused[name](); !problem.Is(err, problem.Precondition) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 3 * draftsKept {
		fake.Advance(time.Millisecond)
		if _, err := d.put("ann", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		id = keep()
	}
	if len(d.kept) > draftsKept {
		t.Errorf("%d are kept", len(d.kept))
	}
	if _, err := d.take("ann", id); err != nil {
		t.Errorf("the newest: %v", err)
	}
}
