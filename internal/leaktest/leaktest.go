// Package leaktest owns the question whether a test has left goroutines behind.
// What was told to end may take its time on a busy machine: it is given patience,
// and only what never ends is a leak. It is never compiled into the product.
package leaktest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is what goroutines have to end. Nobody waits for it but a test that
// fails.
const patience = 30 * time.Second

// Main runs the tests of a package, and fails them if they leave a goroutine.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := find(); err != nil {
			fmt.Fprintln(os.Stderr, "left behind by the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// None fails the test if there are goroutines but those of options, such as
// goleak.IgnoreCurrent from before.
func None(t testing.TB, options ...goleak.Option) {
	t.Helper()
	if err := find(options...); err != nil {
		t.Error(err)
	}
}

func find(options ...goleak.Option) error {
	deadline := time.Now().Add(patience)
	for {
		err := goleak.Find(options...) // itself waits for a moment
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
