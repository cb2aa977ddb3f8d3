package boot

import (
	"context"
	"net"
	"strconv"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// Socket bindings that a server opens besides those its listeners name.
const (
	healthBinding  = "health"
	clusterBinding = "cluster"
)

// open listens on a binding of the configuration.
func openBinding(ctx context.Context, cfg servergroups.ServerConfig, name string) (net.Listener, error) {
	b, ok := cfg.Bindings[name]
	if !ok {
		return nil, problem.Invalid.Errorf("cannot listen: the socket-binding group of server %q has no socket-binding %q", cfg.Name, name)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", b.Listen())
	if err != nil {
		return nil, problem.Unavailable.Errorf("cannot listen on %s for socket-binding %q of server %q: %w", b.Listen(), name, cfg.Name, err)
	}
	return l, nil
}

func portsOf(listeners map[string]net.Listener) map[string]uint32 {
	ports := make(map[string]uint32, len(listeners))
	for name, l := range listeners {
		if addr, ok := l.Addr().(*net.TCPAddr); ok {
			ports[name] = uint32(addr.Port)
		}
	}
	return ports
}

func joinPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
