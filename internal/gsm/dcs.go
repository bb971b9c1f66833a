package gsm

// Encoding is how the text of a message is written.
type Encoding string

// Encodings; Binary is no text.
const (
	GSM7   Encoding = "gsm7"
	UCS2   Encoding = "ucs2"
	Binary Encoding = "binary"
)

// DCS is the data coding scheme octet of an encoding (TS 23.038 §4), also SMPP's data_coding.
func (e Encoding) DCS() byte {
	switch e {
	case UCS2:
		return 0x08
	case Binary:
		return 0x04
	}
	return 0x00
}

// ParseDCS reads a data coding scheme octet of a mobile network (TS 23.038 §4); reserved values count as GSM 7-bit, as the standard asks.
// SMPP's data_coding differs for 0x01 and 0x03, which the caller must look at first.
func ParseDCS(dcs byte) Encoding {
	switch dcs >> 4 {
	case 0x0, 0x1, 0x4, 0x5: // general data coding, with and without message class or automatic deletion
		switch dcs >> 2 & 3 {
		case 1:
			return Binary
		case 2:
			return UCS2
		}
	case 0xe: // message waiting, store, UCS-2
		return UCS2
	case 0xf: // data coding and message class
		if dcs&0x04 != 0 {
			return Binary
		}
	}
	return GSM7
}

// Decode gives the text of one message or segment: septets unpacked to one in each byte, or UCS-2. Binary gives an empty text.
func Decode(e Encoding, payload []byte, s Shift) string {
	switch e {
	case GSM7:
		return DecodeShifted(payload, s)
	case UCS2:
		return DecodeUCS2(payload)
	}
	return ""
}
