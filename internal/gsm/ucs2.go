package gsm

import "unicode/utf16"

// EncodeUCS2 gives a text as big-endian UTF-16, which is what phones call UCS-2 (TS 23.038 §6.2.3). Invalid UTF-8 becomes the replacement
// character.
func EncodeUCS2(text string) []byte {
	units := utf16.Encode([]rune(text))
	out := make([]byte, 0, 2*len(units))
	for _, u := range units {
		out = append(out, byte(u>>8), byte(u))
	}
	return out
}

// DecodeUCS2 reads big-endian UTF-16. It never fails: half a pair becomes the replacement character, a last odd byte is dropped.
func DecodeUCS2(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(units))
}
