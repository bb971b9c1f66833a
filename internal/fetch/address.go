package fetch

import (
	"net/netip"
	"slices"
)

// Policy says which addresses customers' URLs may reach.
type Policy struct {
	AllowPrivate bool // loopback, private, link-local, unique-local and carrier-NAT addresses too
}

// Check refuses an address that is not public; the error is a *Error of kind Address.
func (p Policy) Check(a netip.Addr) error {
	if !p.allows(a.Unmap()) {
		return &Error{Kind: Address, Message: "address not allowed: " + a.Unmap().String()}
	}
	return nil
}

func (p Policy) allows(a netip.Addr) bool {
	in := func(prefix netip.Prefix) bool { return prefix.Contains(a) }
	switch {
	case !a.IsValid() || a.Zone() != "" && !p.AllowPrivate:
		return false
	case slices.Contains(metadataAddresses, a):
		return false
	case slices.ContainsFunc(privateRanges, func(x netip.Prefix) bool { return x.Contains(a.WithZone("")) }):
		return p.AllowPrivate
	case a.Is4():
		return !slices.ContainsFunc(special4, in)
	}
	return global6.Contains(a) && !slices.ContainsFunc(special6, in)
}

// metadataAddresses give machines their credentials in clouds; nothing opens them.
var metadataAddresses = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("169.254.170.2"), netip.MustParseAddr("169.254.170.23"),
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd00:ec2::23"),
}

// privateRanges are what Policy.AllowPrivate opens.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), // RFC 1918 §3
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("100.64.0.0/10"), // RFC 6598 §7
	netip.MustParsePrefix("fc00::/7"),      // RFC 4193 §3
}

// special4 are the remaining ranges of IANA's IPv4 Special-Purpose Address Registry that are no hosts of the Internet, with multicast
// and the reserved class E.
var special4 = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4"),
}

// global6 is the only IPv6 space handed out for hosts (RFC 4291 §2.4). What lies outside is refused as a whole: unspecified, NAT64
// (64:ff9b::/96, 64:ff9b:1::/48), discard-only, multicast, site-local, IPv4-compatible.
var global6 = netip.MustParsePrefix("2000::/3")

// special6 are the ranges inside global6 that are no hosts of the Internet: protocol assignments with Teredo, documentation, 6to4.
var special6 = []netip.Prefix{
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}
