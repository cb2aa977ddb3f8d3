package configrelay

import (
	"net"
	"os"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// ownUser accepts connections of the agent's own user and of root only: a
// second wall behind the socket's mode.
type ownUser struct {
	*net.UnixListener
	log zerolog.Logger
}

func (l *ownUser) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUser(c)
		if err == nil && (uid == 0 || int(uid) == os.Getuid()) {
			return c, nil
		}
		l.log.Warn().Err(err).Uint32("uid", uid).Msg("refused a local connection of another user")
		_ = c.Close()
	}
}

func peerUser(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}
