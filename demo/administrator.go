package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// administrator is the management user that the demo makes for its console.
const administrator = "admin"

// passwordFile keeps the administrator's password for the next demo in the same
// folder, mode 0600.
func (d *Demo) passwordFile() string { return filepath.Join(d.cfg.Dir, "console-password") }

// ensureAdministrator makes the management user at the first boot, as an
// operator on the controller's machine does: with add-user, through the socket.
func (d *Demo) ensureAdministrator(ctx context.Context) error {
	answer, err := d.CLI(ctx, ":list-users")
	if err != nil {
		return err
	}
	var known struct {
		Result map[string]any `json:"result"`
	}
	if err := json.Unmarshal(answer, &known); err != nil {
		return problem.Internal.Errorf("cannot read the list of management users: %w", err)
	}
	if known.Result[administrator] != nil {
		return nil
	}
	if _, err := os.Stat(d.passwordFile()); errors.Is(err, fs.ErrNotExist) {
		// Letters, a digit and a sign, as the rules of the guide want.
		password := strings.ToLower(rand.Text()[:12]) + "-1"
		if err := os.WriteFile(d.passwordFile(), []byte(password+"\n"), 0o600); err != nil {
			return problem.Invalid.Errorf("cannot keep the console's password: %w", err)
		}
	}
	_, err = d.run(ctx, "add-user", "--user", administrator, "--password-file", d.passwordFile(), "--role", "SuperUser", "--controller", d.socket())
	return err
}

// consolePassword is the administrator's password, or where it is not.
func (d *Demo) consolePassword() string {
	text, err := os.ReadFile(d.passwordFile())
	if err != nil {
		return "(the password you chose)"
	}
	return strings.TrimSpace(string(text))
}
