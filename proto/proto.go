// Package proto is the home of the wire contracts: one folder per contract, the
// generated code beside it. It holds no code of its own.
package proto

//go:generate go run ./generate .
