package api_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
)

func TestASocketPathThatIsTooLongIsNamedWithItsLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("d", 107), "management.sock")
	l, err := api.ListenLocal(path)
	if err == nil {
		l.Close()
	}
	if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "107") {
		t.Errorf("ListenLocal of %d bytes: %v", len(path), err)
	}
}
