package sdp

import (
	"strconv"
	"strings"
)

// Codec is one way to code audio: its encoding name, its RTP payload type and
// the RTP clock rate in Hz.
type Codec struct {
	Name  string
	PT    uint8
	Clock int
}

// The codecs with fixed payload types that phones use (RFC 3551 §6) and opus,
// whose number is ours to choose. G.722 runs its RTP clock at 8000 Hz although
// it samples at 16000 (RFC 3551 §4.5.2).
var (
	PCMU = Codec{Name: "PCMU", PT: 0, Clock: 8000}
	PCMA = Codec{Name: "PCMA", PT: 8, Clock: 8000}
	G722 = Codec{Name: "G722", PT: 9, Clock: 8000}
	G729 = Codec{Name: "G729", PT: 18, Clock: 8000}
	Opus = Codec{Name: "opus", PT: 111, Clock: 48000}
)

var static = map[uint8]Codec{
	0: PCMU, 8: PCMA, 9: G722, 18: G729,
	3:  {Name: "GSM", PT: 3, Clock: 8000},
	4:  {Name: "G723", PT: 4, Clock: 8000},
	13: {Name: comfortNoise, PT: 13, Clock: 8000},
	15: {Name: "G728", PT: 15, Clock: 8000},
}

const (
	telephoneEvent = "telephone-event" // RFC 4733 §2.5.1.1
	comfortNoise   = "CN"              // RFC 3389
	eventPT        = 101               // what everybody uses for telephone-event
	maxPT          = 127
	firstDynamicPT = 96
)

// same reports whether both are one encoding (names compare without case).
func (c Codec) same(o Codec) bool {
	return strings.EqualFold(c.Name, o.Name) && c.Clock == o.Clock
}

func (c Codec) isAudio() bool {
	return !strings.EqualFold(c.Name, telephoneEvent) && !strings.EqualFold(c.Name, comfortNoise)
}

// Codecs lists the formats of an RTP media line in its order, named by its
// rtpmap lines or by the fixed table; formats that neither names are left out.
func (m *Media) Codecs() []Codec {
	list := make([]Codec, 0, len(m.Formats))
	for _, f := range m.Formats {
		pt, err := strconv.ParseUint(f, 10, 8)
		if err != nil || pt > maxPT {
			continue
		}
		if c, ok := m.codec(uint8(pt)); ok {
			list = append(list, c)
		}
	}
	return list
}

func (m *Media) codec(pt uint8) (Codec, bool) {
	if v, ok := m.perFormat("rtpmap", pt); ok {
		name, rate, _ := strings.Cut(v, "/")
		rate, _, _ = strings.Cut(rate, "/") // channels
		clock, err := strconv.Atoi(strings.TrimSpace(rate))
		if err != nil || clock <= 0 {
			clock = 8000
		}
		if name = strings.TrimSpace(name); name != "" {
			return fixClock(Codec{Name: name, PT: pt, Clock: clock}), true
		}
	}
	if c, ok := static[pt]; ok {
		return c, true
	}
	// Old gateways send the events' fmtp but forget the rtpmap.
	if v, ok := m.perFormat("fmtp", pt); ok && pt >= firstDynamicPT && strings.HasPrefix(v, "0-1") {
		return Codec{Name: telephoneEvent, PT: pt, Clock: 8000}, true
	}
	return Codec{}, false
}

// fixClock corrects the devices that write the sampling rate of G.722.
func fixClock(c Codec) Codec {
	if strings.EqualFold(c.Name, G722.Name) {
		c.Clock = G722.Clock
	}
	return c
}

// perFormat finds "a=<name>:<pt> <value>".
func (m *Media) perFormat(name string, pt uint8) (string, bool) {
	for _, a := range m.Attributes {
		if !strings.EqualFold(a.Name, name) {
			continue
		}
		number, value, _ := strings.Cut(a.Value, " ")
		if n, err := strconv.ParseUint(number, 10, 8); err == nil && uint8(n) == pt {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// events finds the telephone-event format that runs at the codec's clock, since
// both share one timestamp line (RFC 4733 §2.1); browsers that offer only the
// 8000 Hz one beside opus get that.
func (m *Media) events(clock int) (Codec, bool) {
	var fallback Codec
	for _, c := range m.Codecs() {
		if !strings.EqualFold(c.Name, telephoneEvent) {
			continue
		}
		if c.Clock == clock {
			return c, true
		}
		if c.Clock == 8000 && fallback.PT == 0 {
			fallback = c
		}
	}
	return fallback, fallback.PT != 0
}

// Events is a set of telephone events 0..63 (RFC 4733 §2.4.1); 0..15 are the
// keys 0-9 * # A-D, 16 is the hook flash.
type Events uint64

// Keys is the set that holds when nothing is said.
const Keys Events = 1<<16 - 1

// Has reports whether the event is in the set.
func (e Events) Has(event uint8) bool { return event < 64 && e&(1<<event) != 0 }

// parseEvents reads "0-15,66,70"; what it cannot read means Keys, for a peer
// that offered the format can take keys at least.
func parseEvents(text string) Events {
	var set Events
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.ParseUint(low, 10, 8)
		if err != nil {
			continue
		}
		to := from
		if isRange {
			if to, err = strconv.ParseUint(high, 10, 8); err != nil {
				continue
			}
		}
		for n := from; n <= to && n < 64; n++ {
			set |= 1 << n
		}
	}
	if set == 0 {
		return Keys
	}
	return set
}
