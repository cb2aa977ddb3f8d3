package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
)

// result is one figure.
type result struct {
	Name        string  `json:"name"`
	Value       float64 `json:"value"`
	Unit        string  `json:"unit"`
	Goal        string  `json:"goal"`
	Met         bool    `json:"met"`
	HowMeasured string  `json:"how_measured"`
}

func atLeast(name string, value, goal float64, how string) result {
	return result{name, value, "ratio", fmt.Sprintf(">= %g", goal), value >= goal, how}
}

func atMost(name string, value float64, unit string, goal float64, how string) result {
	return result{name, value, unit, fmt.Sprintf("<= %g", goal), value <= goal, how}
}

func (r result) print(w io.Writer) {
	mark := "met    "
	if !r.Met {
		mark = "NOT MET"
	}
	fmt.Fprintf(w, "%s  %-46s %9.3f %-8s goal %s\n", mark, r.Name, r.Value, r.Unit, r.Goal)
}

func write(path string, results []result) error {
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func median(values []float64) float64 {
	sort.Float64s(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}
