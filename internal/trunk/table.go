package trunk

import (
	"net/netip"
	"slices"

	"github.com/opentact/opentact/internal/e164"
)

// table is what calls ask of the carriers; it never changes once it is made.
type table struct {
	carriers []Carrier // active voice carriers by priority
	sources  []source  // the narrowest first
}

// source is a block of addresses that a carrier sends from.
type source struct {
	block   netip.Prefix
	carrier int
}

// newTable takes the carriers as they are kept; the carrier in the box is where this node has it, or nowhere.
func newTable(list []Carrier, box *Host) *table {
	t := &table{}
	for _, c := range list {
		if !c.Active || c.Kind != Voice || c.Sandbox() && box == nil {
			continue
		}
		if c.Sandbox() {
			c.Voice.Hosts = []Host{*box, *box}
		}
		for _, ip := range c.Voice.InboundIPs {
			if block, err := parseSource(ip); err == nil { // checked when it was saved
				t.sources = append(t.sources, source{block, len(t.carriers)})
			}
		}
		t.carriers = append(t.carriers, c)
	}
	slices.SortStableFunc(t.sources, func(a, b source) int { return b.block.Bits() - a.block.Bits() })
	return t
}

// match finds the carrier with the narrowest block around an address.
func (t *table) match(addr netip.Addr) (Carrier, bool) {
	addr = addr.Unmap().WithZone("")
	for _, s := range t.sources {
		if s.block.Contains(addr) {
			return t.carriers[s.carrier], true
		}
	}
	return Carrier{}, false
}

// takers gives the carriers that take a number, by priority. Magic numbers belong to the sandbox; other numbers come to it only where nobody else
// takes them, so that a broken real trunk never looks like a call that was answered.
func (t *table) takers(to e164.Number) []Carrier {
	var outside, box []Carrier
	magic := len(to) == 11 && to[:len(SandboxRange)] == SandboxRange
	for _, c := range t.carriers {
		switch {
		case len(c.Voice.Hosts) == 0 || c.match(to) < 0:
		case c.Sandbox():
			box = append(box, c)
		case !magic:
			outside = append(outside, c)
		}
	}
	if len(outside) > 0 {
		return outside
	}
	return box
}

// CarrierAt gives the active voice carrier that sends from an address.
func (s *Service) CarrierAt(addr netip.AddrPort) (Carrier, bool) {
	return s.table.Load().match(addr.Addr())
}

// Match tells which carrier an INVITE from this address comes from (voice-semantics §2.3, row 1).
func (s *Service) Match(addr netip.AddrPort) (id, name string, ok bool) {
	c, ok := s.CarrierAt(addr)
	return c.ID, c.Name, ok
}
