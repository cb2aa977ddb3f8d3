package main

import (
	"os"
	"path/filepath"
	"strings"
)

// program is the path by which this program was called, with its symbolic links
// kept: one that points to a newer release later is followed then. Where that
// is not this program, it is the path that the system knows.
func program(called, path string) string {
	own, err := os.Stat(ownImage)
	if err != nil {
		return ownImage
	}
	candidates := []string{called}
	if !strings.ContainsRune(called, filepath.Separator) {
		candidates = nil
		for _, dir := range filepath.SplitList(path) {
			candidates = append(candidates, filepath.Join(dir, called))
		}
	}
	for _, c := range candidates {
		if info, err := os.Stat(c); err == nil && os.SameFile(info, own) {
			if absolute, err := filepath.Abs(c); err == nil {
				return absolute
			}
		}
	}
	system, err := os.Executable()
	if err != nil {
		return ownImage
	}
	return strings.TrimSuffix(system, " (deleted)") // proc(5), of a file that was replaced
}
