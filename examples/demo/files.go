// Package demo holds the files that `gatehouse demo` boots from: a domain, two
// hosts and a realm. They are examples to start from.
package demo

import "embed"

// FS has the files.
//
//go:embed *.toml *.json
var FS embed.FS

// Names lists the files.
func Names() ([]string, error) {
	entries, err := FS.ReadDir(".")
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}
