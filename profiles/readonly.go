package profiles

import (
	"slices"
	"strings"
)

// readers are the operations that change nothing, beside those named read-...
var readers = []string{
	"whoami", "resolve-expression", "map-get", "list-get", "history", "diff", "controllers", "hosts",
	"rollouts", "list-users", "list-log-files", "logs",
}

// planned are the operations that the header dry-run turns into a question.
var planned = []string{
	"write-attribute", "undefine-attribute", "add", "remove", "clone", "apply", "revert",
	"map-put", "map-remove", "map-clear", "list-add", "list-remove", "list-clear",
}

// ReadOnly reports whether the operation changes neither the configuration nor
// what runs, judged by its name and the header dry-run; a composite when none
// of its steps does.
func (o Operation) ReadOnly() bool {
	dry, _ := o.Headers["dry-run"].(bool)
	switch {
	case o.Name == "composite":
		steps, err := o.Steps()
		return err == nil && !slices.ContainsFunc(steps, func(s Operation) bool {
			return !s.ReadOnly() && !(dry && slices.Contains(planned, s.Name))
		})
	case strings.HasPrefix(o.Name, "read-"), slices.Contains(readers, o.Name):
		return true
	}
	return dry && slices.Contains(planned, o.Name)
}
