package audio

// Law is one of the two companding laws of ITU-T G.711.
type Law int

// The laws; the zero value is mu-law.
const (
	ULaw Law = iota // PCMU, payload type 0
	ALaw            // PCMA, payload type 8
)

// SilenceByte is the code of the value zero: what an idle line carries.
func (l Law) SilenceByte() byte {
	if l == ALaw {
		return 0xD5
	}
	return 0xFF
}

func (l Law) String() string {
	if l == ALaw {
		return "PCMA"
	}
	return "PCMU"
}

// A mu-law code depends on the upper 14 bits of a sample and an A-law code on the upper 12, so 16 and 4 KiB of table are enough.
var (
	ulawDecode = decodeTable(ulawValue)
	alawDecode = decodeTable(alawValue)
	ulawEncode = ulawCodes()
	alawEncode = alawCodes()
	ulawToAlaw = crossTable(func(b byte) byte { return alawEncode[uint16(ulawDecode[b])>>4] })
	alawToUlaw = crossTable(func(b byte) byte { return ulawEncode[uint16(alawDecode[b])>>2] })
)

// EncodeLaw writes the code of each sample of src to dst, as many as fit, and returns their count.
func EncodeLaw(law Law, dst []byte, src []int16) int {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	if law == ALaw {
		for i, s := range src {
			dst[i] = alawEncode[uint16(s)>>4]
		}
		return n
	}
	for i, s := range src {
		dst[i] = ulawEncode[uint16(s)>>2]
	}
	return n
}

// DecodeLaw writes the sample of each code of src to dst, as many as fit, and returns their count.
func DecodeLaw(law Law, dst []int16, src []byte) int {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	table := &ulawDecode
	if law == ALaw {
		table = &alawDecode
	}
	for i, b := range src {
		dst[i] = table[b]
	}
	return n
}

// Transcode changes buf in place from one law to the other; nothing happens when they are the same.
func Transcode(from, to Law, buf []byte) {
	if from == to {
		return
	}
	table := &ulawToAlaw
	if from == ALaw {
		table = &alawToUlaw
	}
	for i, b := range buf {
		buf[i] = table[b]
	}
}

func decodeTable(value func(byte) int16) (t [256]int16) {
	for i := range t {
		t[i] = value(byte(i))
	}
	return t
}

func crossTable(code func(byte) byte) (t [256]byte) {
	for i := range t {
		t[i] = code(byte(i))
	}
	return t
}

// ulawValue is G.711 table 2: all bits inverted, sign, 3 bits of segment, 4 bits within it; 14-bit values, here scaled to 16 bits.
func ulawValue(b byte) int16 {
	b = ^b
	magnitude := (int(b&0x0F)<<3+0x84)<<(b>>4&7) - 0x84
	if b&0x80 != 0 {
		magnitude = -magnitude
	}
	return int16(magnitude)
}

// alawValue is G.711 table 1: even bits inverted, sign set for positive values; 13-bit values, here scaled to 16 bits.
func alawValue(b byte) int16 {
	b ^= 0x55
	magnitude := int(b&0x0F)<<4 + 8
	if segment := b >> 4 & 7; segment > 0 {
		magnitude = (magnitude + 0x100) << (segment - 1)
	}
	if b&0x80 == 0 {
		magnitude = -magnitude
	}
	return int16(magnitude)
}

// ulawCodes indexes by the upper 14 bits of a sample. The smallest magnitude of a negative value is one's complement, as
// the tables of G.711 count decision values.
func ulawCodes() (t [1 << 14]byte) {
	for i := range t {
		v, sign := int(int16(i<<2))>>2, byte(0)
		if v < 0 {
			v, sign = ^v, 0x80
		}
		v = min(v+33, 0x1FFF)
		segment := 0
		for v>>segment > 63 {
			segment++
		}
		t[i] = ^(sign | byte(segment)<<4 | byte(v>>(segment+1))&0x0F)
	}
	return t
}

// alawCodes indexes by the upper 12 bits of a sample.
func alawCodes() (t [1 << 12]byte) {
	for i := range t {
		v, sign := int(int16(i<<4))>>4, byte(0x80)
		if v < 0 {
			v, sign = ^v, 0
		}
		segment := 0
		if v > 15 {
			segment = 1
		}
		for v > 31 {
			v >>= 1
			segment++
		}
		t[i] = (sign | byte(segment)<<4 | byte(v)&0x0F) ^ 0x55
	}
	return t
}
