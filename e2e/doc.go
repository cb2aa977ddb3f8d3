// Package e2e drives the real binary from outside: readable scripts
// (testdata/script), several processes, several hosts. It knows the product as
// its users do: by its commands, ports and files.
package e2e
