package rtp

import "encoding/binary"

const (
	headerSize   = 12
	version      = 2
	comfortNoise = 13  // RFC 3389
	guessedKeyPT = 101 // what peers use for telephone events without saying so
)

// header is the part of the fixed header that matters here (RFC 3550 §5.1).
type header struct {
	marker bool
	pt     uint8
	seq    uint16
	ts     uint32
	ssrc   uint32
}

// parse returns the header and where the payload lies in b, after CSRC list and
// extension and before padding (RFC 3550 §5.1, §5.3.1).
func parse(b []byte) (h header, start, end int, ok bool) {
	if len(b) < headerSize || b[0]>>6 != version {
		return h, 0, 0, false
	}
	start, end = headerSize+4*int(b[0]&0x0f), len(b)
	if b[0]&0x10 != 0 {
		if end < start+4 {
			return h, 0, 0, false
		}
		start += 4 + 4*int(binary.BigEndian.Uint16(b[start+2:]))
	}
	if b[0]&0x20 != 0 {
		pad := int(b[end-1])
		if pad == 0 {
			return h, 0, 0, false
		}
		end -= pad
	}
	if start > end {
		return h, 0, 0, false
	}
	h.marker = b[1]&0x80 != 0
	h.pt = b[1] & 0x7f
	h.seq = binary.BigEndian.Uint16(b[2:])
	h.ts = binary.BigEndian.Uint32(b[4:])
	h.ssrc = binary.BigEndian.Uint32(b[8:])
	return h, start, end, true
}

// put writes a fixed header without CSRCs, extension or padding into b[:12].
func (h header) put(b []byte) {
	_ = b[headerSize-1]
	b[0] = version << 6
	b[1] = h.pt & 0x7f
	if h.marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], h.seq)
	binary.BigEndian.PutUint32(b[4:], h.ts)
	binary.BigEndian.PutUint32(b[8:], h.ssrc)
}

// isRTCP tells RTCP from RTP on a shared port (RFC 5761 §4).
func isRTCP(b []byte) bool {
	return len(b) >= 8 && b[0]>>6 == version && b[1] >= 192 && b[1] <= 223
}
