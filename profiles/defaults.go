package profiles

import (
	_ "embed"
	"slices"
)

//go:embed default-domain.toml
var defaultDomain []byte

//go:embed default-standalone.toml
var defaultStandalone []byte

// DefaultTOML is the text that a new tree of the mode begins with.
func DefaultTOML(m Mode) []byte {
	if m == Standalone {
		return slices.Clone(defaultStandalone)
	}
	return slices.Clone(defaultDomain)
}

// Default is the tree that a new domain or standalone server begins with.
func Default(m Mode) (Tree, error) { return ParseTOML("default-"+string(m)+".toml", DefaultTOML(m)) }
