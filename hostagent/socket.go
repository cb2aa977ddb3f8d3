package hostagent

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// longestSocket is what a Unix socket's path may have, 107 bytes (unix(7)),
// less what the relay needs beside it while it opens the socket.
const longestSocket = 107 - len("/.s0123456789/s")

// socketIn is where the servers of a host find their agent: in its directory,
// or, where that path is too long for a socket, in a private directory of the
// system's temporary one, under a name that stays the same for the next agent.
func socketIn(dir string) (string, error) {
	if len(dir) <= longestSocket {
		return filepath.Join(dir, "agent.sock"), nil
	}
	sum := sha256.Sum256([]byte(dir))
	private := filepath.Join(os.TempDir(), "gatehouse-"+strconv.Itoa(os.Getuid())+"-"+hex.EncodeToString(sum[:8]))
	if err := os.Mkdir(private, 0o700); err != nil && !os.IsExist(err) {
		return "", problem.Invalid.Errorf("cannot make a directory for the local socket: %w", err)
	}
	info, err := os.Lstat(private)
	if err != nil {
		return "", err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm() != 0o700 || int(owner.Uid) != os.Getuid() {
		return "", problem.Conflict.Errorf("cannot use %s for the local socket: it is not a private directory of this user; remove it, or give the agent a directory with a shorter path than %s", private, dir)
	}
	return filepath.Join(private, "agent.sock"), nil
}
