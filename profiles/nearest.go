package profiles

import (
	"slices"
	"strings"
)

// suggest is the end of a refusal of name: the nearest valid name when one is
// near, and all of them when they are few.
func suggest(name string, valid []string) string {
	valid = slices.Sorted(slices.Values(valid))
	var b strings.Builder
	if near := Nearest(name, valid); near != "" {
		b.WriteString("; did you mean \"" + near + "\"?")
	}
	switch {
	case len(valid) == 0:
		b.WriteString(" (there is none)")
	case len(valid) <= 24:
		b.WriteString(" (valid: " + strings.Join(valid, ", ") + ")")
	}
	return b.String()
}

// Nearest is the valid name that name was probably meant to be, or "": at most
// a third of its letters, and at least two, may differ.
func Nearest(name string, valid []string) string {
	best, limit := "", max(2, len(name)/3)
	for _, v := range valid {
		if d := distance(strings.ToLower(name), strings.ToLower(v)); d <= limit && d < len(v) {
			best, limit = v, d-1
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
