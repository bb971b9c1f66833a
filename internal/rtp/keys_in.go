package rtp

import (
	"encoding/binary"
	"time"
)

const (
	eventSize = 4
	keyNames  = "0123456789*#ABCD" // RFC 4733 §3.2, events 0 to 15

	// What tells a press from the rest of the one before it.
	keyForget = 2 * time.Second        // older timestamps are believed again
	keyRepeat = 300 * time.Millisecond // a device that never changes its timestamp pressed anew
)

// keysIn makes one key of the many packets of one press (RFC 4733 §2.5.1). It
// does not look at the marker bit, which some carriers never set and others
// always; the timestamp is what counts. Lost starts, lost ends, repeated ends,
// segments of a long event and timestamps that wrongly move with each packet
// are one press.
type keysIn struct {
	active   bool
	event    uint8
	ended    bool
	ts       uint32
	duration uint32 // largest seen, in timestamp units
	seen     time.Duration
}

// receive reads an event payload; pressed is true for the first packet of a
// press.
func (k *keysIn) receive(ts uint32, payload []byte, now time.Duration) (key byte, units uint32, pressed bool) {
	if len(payload) < eventSize || int(payload[0]) >= len(keyNames) {
		return 0, 0, false
	}
	event, ended := payload[0], payload[1]&0x80 != 0
	units = uint32(binary.BigEndian.Uint16(payload[2:]))
	pressed = k.isNew(event, ts, units, now)
	switch {
	case pressed:
		*k = keysIn{active: true, event: event, ended: ended, ts: ts, duration: units, seen: now}
	case k.event == event && int32(ts-k.ts) >= 0:
		end := max(ts-k.ts+units, k.duration)
		k.duration, k.seen = end, now
		k.ended = k.ended || ended
	}
	return keyNames[event], units, pressed
}

func (k *keysIn) isNew(event uint8, ts, units uint32, now time.Duration) bool {
	if !k.active {
		return true
	}
	after := int32(ts - k.ts)
	switch {
	case after == 0:
		return k.ended && event == k.event && units < k.duration && now-k.seen > keyRepeat
	case after < 0:
		return now-k.seen > keyForget
	case event != k.event:
		return true
	}
	// The same key: anew only when it begins after the end of the last one. A
	// long event goes on in a new segment exactly there (RFC 4733 §2.5.1.3).
	beyond := after - int32(k.duration)
	if k.ended {
		return beyond > 0
	}
	return beyond > frameSamples || now-k.seen > keyForget
}
