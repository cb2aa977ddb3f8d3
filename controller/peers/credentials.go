package peers

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
)

// present are the credentials of an identity as it is when a connection is made: a
// connection that stands is made anew after a rotation of the authority, and says
// then whom this controller trusts.
type present struct {
	credentials.TransportCredentials
	identity *certs.Identity
	allow    certs.Allow
}

func newCredentials(identity *certs.Identity, allow certs.Allow) present {
	return present{credentials.NewTLS(identity.Client(OnlyControllers(allow))), identity, allow}
}

// ClientHandshake implements credentials.TransportCredentials.
func (p present) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return newCredentials(p.identity, p.allow).TransportCredentials.ClientHandshake(ctx, authority, raw)
}

// Clone implements credentials.TransportCredentials.
func (p present) Clone() credentials.TransportCredentials { return newCredentials(p.identity, p.allow) }
