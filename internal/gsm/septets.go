package gsm

// FillBits is how many bits stand between a user data header of n octets (its length octet included) and the first septet, so that
// septets start on a septet boundary (TS 23.040 §9.2.3.24).
func FillBits(n int) int { return (7 - n*8%7) % 7 }

// Pack puts septets, the low seven bits of each byte, into octets after fill zero bits (TS 23.038 §6.1.2.1). fill is 0 to 6.
func Pack(septets []byte, fill int) []byte {
	out := make([]byte, (len(septets)*7+fill+7)/8)
	for i, c := range septets {
		at := i*7 + fill
		v := uint16(c&0x7f) << (at % 8)
		out[at/8] |= byte(v)
		if v > 0xff {
			out[at/8+1] |= byte(v >> 8)
		}
	}
	return out
}

// Unpack takes count septets out of octets after fill bits. It gives fewer when the octets end before; the count is needed because seven
// bits left over look like an "@".
func Unpack(octets []byte, count, fill int) []byte {
	count = max(0, min(count, (len(octets)*8-fill)/7))
	out := make([]byte, count)
	for i := range out {
		at := i*7 + fill
		v := uint16(octets[at/8])
		if at/8+1 < len(octets) {
			v |= uint16(octets[at/8+1]) << 8
		}
		out[i] = byte(v>>(at%8)) & 0x7f
	}
	return out
}
