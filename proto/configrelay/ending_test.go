package configrelay

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAServersRecordOfItsEndCountsForItsOwnProcessOnly(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	if _, found := EndingOf(dir, 7, began); found {
		t.Error("found a record where there is none")
	}
	for code := range 3 { // the newest counts
		if err := (Ending{PID: 7, Code: code, At: began.Add(time.Second)}).Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	if e, found := EndingOf(dir, 7, began); !found || e.Code != 2 {
		t.Errorf("%+v, %v", e, found)
	}
	if _, found := EndingOf(dir, 8, began); found {
		t.Error("another process has the record")
	}
	if _, found := EndingOf(dir, 7, began.Add(time.Hour)); found {
		t.Error("a later process of the same number has the record")
	}
	if err := os.WriteFile(filepath.Join(dir, endingFile), []byte(`{"pid":7,"co`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, found := EndingOf(dir, 7, began); found {
		t.Error("half a record counts")
	}
}
