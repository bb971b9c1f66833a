package gsm

import (
	"fmt"
	"strings"
)

const escape = 0x1b

// CharError is the first character of a text that the GSM 7-bit alphabet does not have.
type CharError struct {
	Character string
	Position  int // in code points, from 0
}

// Error names the character.
func (e *CharError) Error() string {
	return fmt.Sprintf("character %q at position %d is not in the GSM 7-bit alphabet", e.Character, e.Position)
}

// EncodeGSM7 gives the septets of a text, one in each byte, with characters of the extension table as escape pairs (TS 23.038 §6.2.1).
// The error is a *CharError.
func EncodeGSM7(text string) ([]byte, error) {
	out := make([]byte, 0, len(text))
	position := 0
	for _, r := range text {
		code, ok := codes[r]
		if !ok {
			return nil, &CharError{string(r), position}
		}
		if code > 0x7f {
			out = append(out, escape)
		}
		out = append(out, byte(code&0x7f))
		position++
	}
	return out, nil
}

// DecodeGSM7 reads septets, one in each byte, with the default alphabet and its extension table. It never fails: a pair that the
// extension lacks shows the character of the basic table, an escape at the end or a doubled one shows a space (TS 23.038 §6.2.1.1), and
// a byte above 0x7f the replacement character.
func DecodeGSM7(septets []byte) string { return DecodeShifted(septets, Shift{}) }

// Shift names the national language tables of a message (TS 23.040 §9.2.3.24.15 and 16); zero means the default tables.
type Shift struct{ Locking, Single Language }

// DecodeShifted is DecodeGSM7 with national language tables; a language without a table counts as the default.
func DecodeShifted(septets []byte, s Shift) string {
	basic, ok := lockingTables[s.Locking]
	if !ok {
		basic = basicTable
	}
	single, ok := singleTables[s.Single]
	if !ok {
		single = extensionTable
	}
	var b strings.Builder
	for i := 0; i < len(septets); i++ {
		c := septets[i]
		switch {
		case c > 0x7f:
			b.WriteRune('\ufffd')
		case c != escape:
			b.WriteRune(basic[c])
		case i+1 == len(septets):
			b.WriteByte(' ')
		default:
			i++
			b.WriteRune(shifted(septets[i], single, &basic))
		}
	}
	return b.String()
}

func shifted(c byte, single map[byte]rune, basic *[128]rune) rune {
	if r, ok := single[c]; ok {
		return r
	}
	switch {
	case c > 0x7f:
		return '\ufffd'
	case c == escape:
		return ' '
	}
	return basic[c]
}

// basicTable is the default alphabet (TS 23.038 §6.2.1); the place of the escape is never shown.
var basicTable = table("@£$¥èéùìòÇ\nØø\rÅå" + "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ" + " !\"#¤%&'()*+,-./" + "0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNO" + "PQRSTUVWXYZÄÖÑÜ§" + "¿abcdefghijklmno" + "pqrstuvwxyzäöñüà")

// extensionTable follows an escape (TS 23.038 §6.2.1.1).
var extensionTable = map[byte]rune{
	0x0a: '\f', 0x14: '^', 0x28: '{', 0x29: '}', 0x2f: '\\', 0x3c: '[', 0x3d: '~', 0x3e: ']', 0x40: '|', 0x65: '€',
}

// codes maps a character to its septet, plus 0x80 when an escape comes before it.
var codes = invert()

func invert() map[rune]int {
	m := make(map[rune]int, 160)
	for c, r := range basicTable {
		if c != escape {
			m[r] = c
		}
	}
	for c, r := range extensionTable {
		m[r] = int(c) | 0x80
	}
	return m
}

// table spreads 128 characters over their codes.
func table(s string) (t [128]rune) {
	i := 0
	for _, r := range s {
		t[i] = r
		i++
	}
	return t
}
