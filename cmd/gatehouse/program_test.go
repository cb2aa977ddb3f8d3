package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheProgramsPathKeepsItsSymbolicLinks(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "gatehouse")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	for called, want := range map[string]string{
		link:                 link,
		"gatehouse":          link, // found by PATH
		"/no/such/gatehouse": own,  // called by a name of its caller's choice
		"/bin/sh":            own,
	} {
		if got := program(called, "/nowhere:"+dir); got != want {
			t.Errorf("called as %s the program is %s, want %s", called, got, want)
		}
	}
}
