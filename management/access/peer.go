package access

import (
	"context"
	"net"
	"os"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// PeerInfo is the user that runs the process at the other end of a Unix socket.
type PeerInfo struct {
	credentials.CommonAuthInfo
	UID uint32
	PID int32
}

// AuthType implements credentials.AuthInfo.
func (PeerInfo) AuthType() string { return "peer-credentials" }

// Caller gives the caller that the peer is: the super-user "local" when it runs
// as root or as this process's user, a refusal otherwise.
func (p PeerInfo) Caller() (Caller, error) {
	if p.UID != 0 && int(p.UID) != os.Getuid() {
		return Caller{}, problem.Unauthorized.Errorf(
			"cannot use the management socket as user id %d: it serves user id %d and root; connect to the controller's address with --user", p.UID, os.Getuid())
	}
	return LocalSuperUser(), nil
}

// PeerCredentials are gRPC transport credentials of Unix sockets: the kernel
// says who is there (SO_PEERCRED), nothing is sent. They encrypt nothing, for
// nothing leaves the machine.
func PeerCredentials() credentials.TransportCredentials { return peerCredentials{} }

type peerCredentials struct{}

func (peerCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, PeerInfo{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

func (peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info, err := Peer(conn)
	return conn, info, err
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peer-credentials"}
}

func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

func (peerCredentials) OverrideServerName(string) error { return nil }

// Peer asks the kernel who is at the other end of a Unix socket.
func Peer(conn net.Conn) (PeerInfo, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return PeerInfo{}, problem.Internal.Errorf("cannot read peer credentials of a %T: it is not a Unix socket", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return PeerInfo{}, problem.Internal.Errorf("cannot read peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = credErr
	}
	if err != nil {
		return PeerInfo{}, problem.Internal.Errorf("cannot read peer credentials: %w", err)
	}
	return PeerInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		UID:            cred.Uid, PID: cred.Pid,
	}, nil
}
