package hostagent

import (
	"net"
	"net/netip"
	"strings"

	"github.com/gatehouse-idp/gatehouse/servergroups"
)

const loopback = "127.0.0.1"

// localAddress is where others reach this machine: its address on the way to a
// controller (no packet is sent) or, where the controller is on this very
// machine, its first address that is not a loopback one.
func localAddress(controllers []string) string {
	for _, c := range controllers {
		conn, err := net.Dial("udp", c)
		if err != nil {
			continue
		}
		local, err := netip.ParseAddrPort(conn.LocalAddr().String())
		_ = conn.Close()
		if err == nil && !local.Addr().IsLoopback() {
			return local.Addr().WithZone("").String()
		}
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return loopback
	}
	return firstGlobal(all, loopback)
}

// firstGlobal is the first address that other machines may reach, IPv4 before
// IPv6, or fallback.
func firstGlobal(all []net.Addr, fallback string) string {
	six := ""
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if prefix.Addr().Is4() {
			return prefix.Addr().String()
		}
		if six == "" {
			six = prefix.Addr().String()
		}
	}
	if six != "" {
		return six
	}
	return fallback
}

// bound is the address that a binding listens on, "" for all.
func bound(b servergroups.Binding) string {
	if b.Address == "" && b.NIC != "" {
		if card, err := net.InterfaceByName(b.NIC); err == nil {
			if all, err := card.Addrs(); err == nil {
				return firstGlobal(all, "")
			}
		}
	}
	if unspecified(b.Address) {
		return ""
	}
	return b.Address
}

func unspecified(address string) bool {
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	return err == nil && ip.IsUnspecified()
}
