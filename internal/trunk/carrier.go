package trunk

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
)

// Kinds of carriers.
const (
	Voice = "voice"
	SMS   = "sms"
)

// SandboxName is the name of the row of the carrier in the box; nobody else may take it.
const SandboxName = "sandbox"

// SandboxRange begins the magic numbers: North American 500 555, which no carrier serves. They go to the sandbox or nowhere.
const SandboxRange = "1500555"

// Priorities and weights, as those of DNS SRV: the lower priority is tried first, the weight shares the calls of one priority.
const (
	defaultPriority = 10
	defaultWeight   = 10
	maxPriority     = 65535
)

// Carrier is an upstream voice trunk or SMS link.
type Carrier struct {
	ID       string
	Name     string
	Kind     string // Voice, SMS
	Active   bool
	Priority int      // lower first
	Weight   int      // share among carriers of one priority
	Prefixes []string // first digits of the numbers that it takes; none: all
	Voice    VoiceLink
	SMS      SMSLink
	Created  time.Time
	Modified time.Time
}

// Host is one address of a carrier.
type Host struct {
	Host      string `json:"host"`
	Port      int    `json:"port"`
	Transport string `json:"transport"` // udp, tcp, tls
}

// VoiceLink is how calls go to and come from a carrier.
type VoiceLink struct {
	Hosts        []Host   `json:"hosts"`
	Login        string   `json:"login,omitempty"`
	Password     string   `json:"password,omitempty"`
	Codecs       []string `json:"codecs"`
	NumberFormat string   `json:"number_format"` // digits, e164, national
	Channels     *float64 `json:"channels,omitempty"`
	CPS          *float64 `json:"cps,omitempty"`
	RateTable    int      `json:"rate_table,omitempty"` // of its cost; 0: none
	InboundIPs   []string `json:"inbound_ips"`          // addresses and CIDR blocks
	OptionsPing  int      `json:"options_ping"`         // seconds between two OPTIONS; 0: none
}

// SMSLink is how messages go to and come from a carrier.
type SMSLink struct {
	Protocol  string  `json:"protocol"` // smpp, http, sandbox
	Host      string  `json:"host,omitempty"`
	Port      int     `json:"port,omitempty"`
	SystemID  string  `json:"system_id,omitempty"`
	Password  string  `json:"password,omitempty"`
	Bind      string  `json:"bind"` // transceiver, pair
	Window    int     `json:"window"`
	TPS       float64 `json:"tps"`
	ReceiptID string  `json:"receipt_id"` // form of message ids in receipts: dec, hex, text
}

// newCarrier gives the defaults.
func newCarrier(name, kind string) Carrier {
	c := Carrier{Name: name, Kind: kind, Active: true, Priority: defaultPriority, Weight: defaultWeight, Prefixes: []string{}}
	if kind == Voice {
		c.Voice = VoiceLink{Hosts: []Host{}, Codecs: []string{"PCMU", "PCMA"}, NumberFormat: "digits", InboundIPs: []string{}, OptionsPing: 30}
	} else {
		c.SMS = SMSLink{Protocol: "smpp", Bind: "transceiver", Window: 10, TPS: 10, ReceiptID: "text"}
	}
	return c
}

// Sandbox tells whether it is the carrier in the box.
func (c Carrier) Sandbox() bool { return c.Kind == Voice && c.Name == SandboxName }

// match gives the length of the longest prefix that the number begins with, or -1 when the carrier does not take it.
func (c Carrier) match(to e164.Number) int {
	if len(c.Prefixes) == 0 {
		return 0
	}
	best := -1
	for _, p := range c.Prefixes {
		if len(p) > best && strings.HasPrefix(string(to), p) {
			best = len(p)
		}
	}
	return best
}

// check gathers what is wrong with a carrier, under its members' wire names.
func (c Carrier) check() error {
	var f fault.Fields
	if c.Kind == SMS {
		if c.SMS.Protocol != "sandbox" && c.SMS.Host == "" {
			f.Add("host", "required", nil)
		}
		if c.SMS.Protocol == "smpp" && c.SMS.Port == 0 {
			f.Add("port", "required", nil)
		}
		return f.Err()
	}
	if len(c.Voice.Hosts) == 0 && len(c.Voice.InboundIPs) == 0 {
		f.Add("hosts", "hosts or inbound_ips needed", nil)
	}
	for i, h := range c.Voice.Hosts {
		if h.Host == "" || strings.ContainsAny(h.Host, " \t\r\n/@<>\"") {
			f.Add("hosts."+strconv.Itoa(i)+".host", "invalid host", h.Host)
		}
	}
	for i, ip := range c.Voice.InboundIPs {
		if _, err := parseSource(ip); err != nil {
			f.Add("inbound_ips."+strconv.Itoa(i), err.Error(), ip)
		}
	}
	return f.Err()
}

// parseSource reads an address or a CIDR block. Blocks that would trust a good part of the internet are refused as the slips that they are.
func parseSource(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("invalid IP address or CIDR block")
	}
	if p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 16 {
		return netip.Prefix{}, fmt.Errorf("the block is too large")
	}
	return p.Masked(), nil
}

// Carriers lists the carriers of a kind, by priority; an empty kind lists all.
func (s *Service) Carriers(ctx context.Context, q db.Querier, kind string) ([]Carrier, error) {
	return carriers(ctx, q, kind)
}

// CarrierByID gives a carrier, or a 404 "Carrier not found".
func (s *Service) CarrierByID(ctx context.Context, q db.Querier, id string) (Carrier, error) {
	return carrierByID(ctx, q, id, "")
}

// AddCarrier keeps a new carrier; a name in use is a 409.
func (s *Service) AddCarrier(ctx context.Context, c Carrier) (Carrier, error) {
	if c.Name == SandboxName {
		return c, fault.Taken("Carrier")
	}
	return s.saveCarrier(ctx, func(context.Context, *db.Tx) (Carrier, error) { return c, nil })
}

// ChangeCarrier changes a carrier by change, which may run more than once. The name of the sandbox stays its own.
func (s *Service) ChangeCarrier(ctx context.Context, id string, change func(*Carrier)) (Carrier, error) {
	return s.saveCarrier(ctx, func(ctx context.Context, tx *db.Tx) (Carrier, error) {
		c, err := carrierByID(ctx, tx, id, tx.ForUpdate())
		if err != nil {
			return c, err
		}
		old := c.Name
		change(&c)
		if c.Name != old && (c.Name == SandboxName || old == SandboxName) {
			return c, fault.Newf(fault.Conflict, "the name %s belongs to the sandbox carrier", SandboxName)
		}
		return c, nil
	})
}

func (s *Service) saveCarrier(ctx context.Context, build func(context.Context, *db.Tx) (Carrier, error)) (Carrier, error) {
	var out Carrier
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		c, err := build(ctx, tx)
		if err != nil {
			return err
		}
		if err := c.check(); err != nil {
			return err
		}
		out, err = putCarrier(ctx, tx, c, s.now())
		return err
	})
	if err == nil {
		db.Then(ctx, s.reload)
	}
	return out, err
}

// RemoveCarrier removes a carrier and gives it; calls that run are not touched.
func (s *Service) RemoveCarrier(ctx context.Context, id string) (Carrier, error) {
	var c Carrier
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if c, err = carrierByID(ctx, tx, id, tx.ForUpdate()); err != nil {
			return err
		}
		return deleteCarrier(ctx, tx, id)
	})
	if err == nil {
		s.reload(ctx)
		s.health.forget(id)
	}
	return c, err
}

// EnsureSandbox makes or renews the row of the carrier in the box, which listens at host and port of this node, and switches it on. Its address is
// used twice, so that a call that it refuses as overloaded is tried once more, as with two gateways of one carrier. A node that does not call this
// passes the row over.
func (s *Service) EnsureSandbox(ctx context.Context, host string, port int) (Carrier, error) {
	h := Host{Host: host, Port: port, Transport: "udp"}
	s.box.Store(&h)
	renew := func(ctx context.Context, tx *db.Tx) (Carrier, error) {
		c, found, err := carrierByName(ctx, tx, SandboxName)
		if err != nil {
			return c, err
		}
		if !found {
			c = newCarrier(SandboxName, Voice)
		}
		c.Active, c.Priority, c.Prefixes = true, maxPriority, []string{}
		c.Voice.Hosts, c.Voice.InboundIPs, c.Voice.OptionsPing = []Host{h, h}, []string{"127.0.0.0/8", "::1"}, 0
		return c, nil
	}
	c, err := s.saveCarrier(ctx, renew)
	if fault.Is(err, fault.Exists) { // another node made it at the same moment
		c, err = s.saveCarrier(ctx, renew)
	}
	return c, err
}

// clean drops repetitions.
func clean(list []string) []string {
	out := []string{}
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
