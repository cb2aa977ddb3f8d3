package boot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// profileProperties switches features of one server, as in the guide's chapter
// "Profiles": lines of profile=preview and feature.<name>=enabled.
const profileProperties = "profile.properties"

// features are those that are on for a server: the profile's attributes, then
// profile.properties in the server's folder, then system properties. It refuses
// by name what does not exist or contradicts itself.
func features(dir string, cfg servergroups.ServerConfig) ([]string, error) {
	file := filepath.Join(dir, profileProperties)
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, problem.Invalid.Errorf("cannot read the server's features: %w", err)
	}
	on, err := profiles.ServerFeatures(cfg.Map(identityName), text, cfg.SystemProperties)
	if err != nil {
		where := "the profile and the system properties"
		if text != nil {
			where += " and " + file
		}
		return nil, problem.Invalid.Errorf("cannot use the features of server %q (from %s): %w", cfg.Name, where, err)
	}
	return on, nil
}
