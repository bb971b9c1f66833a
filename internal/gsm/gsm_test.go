package gsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// all is every character of the alphabet and its extension.
func all() []rune {
	var out []rune
	for r := range codes {
		out = append(out, r)
	}
	return out
}

func gsmText() *rapid.Generator[string] { return rapid.StringOf(rapid.SampledFrom(all())) }

func mixedText() *rapid.Generator[string] {
	return rapid.StringOf(rapid.OneOf(rapid.SampledFrom(all()), rapid.Rune(), rapid.SampledFrom([]rune("😀👍é漢€{"))))
}

func TestAlphabetHas137Characters(t *testing.T) {
	if len(codes) != 127+10 {
		t.Errorf("%d characters", len(codes))
	}
	for r, code := range map[rune]int{'@': 0, '£': 1, 'Ç': 9, '\n': 10, '\r': 13, 'Δ': 16, 'Ξ': 26, 'É': 31, ' ': 32, '¤': 36, '?': 63, '¡': 64, 'A': 65, '§': 95, '¿': 96, 'à': 127, '€': 0xe5, '\f': 0x8a, '|': 0xc0} {
		if codes[r] != code {
			t.Errorf("%q is %#x, want %#x", r, codes[r], code)
		}
	}
}

func TestNationalTablesAreWhole(t *testing.T) {
	for l, tab := range lockingTables {
		for c, r := range tab {
			if r == 0 {
				t.Errorf("language %d has nothing at %#x", l, c)
			}
		}
		if tab[escape] != escape || tab['A'] != 'A' || tab['\n'] != '\n' {
			t.Errorf("language %d is shifted", l)
		}
	}
}

func TestAnalyze(t *testing.T) {
	for _, c := range []struct {
		name, text                   string
		encoding                     Encoding
		segments, length, perSegment int
		forced                       string
		position                     int
	}{
		{"empty", "", GSM7, 1, 0, 160, "", 0},
		{"full", strings.Repeat("a", 160), GSM7, 1, 160, 160, "", 0},
		{"one too many", strings.Repeat("a", 161), GSM7, 2, 161, 153, "", 0},
		{"two full", strings.Repeat("a", 306), GSM7, 2, 306, 153, "", 0},
		{"six full", strings.Repeat("a", 918), GSM7, 6, 918, 153, "", 0},
		{"extension", strings.Repeat("€", 80), GSM7, 1, 160, 160, "", 0},
		{"pair at the seam", strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), GSM7, 3, 306, 153, "", 0},
		{"small c cedilla", "façade", UCS2, 1, 6, 70, "ç", 2},
		{"full ucs2", "я" + strings.Repeat("a", 69), UCS2, 1, 70, 70, "я", 0},
		{"two ucs2", strings.Repeat("я", 71), UCS2, 2, 71, 67, "я", 0},
		{"pairs", strings.Repeat("😀", 35), UCS2, 1, 70, 70, "😀", 0},
		{"pair at the ucs2 seam", strings.Repeat("a", 66) + "😀" + strings.Repeat("a", 67), UCS2, 3, 135, 67, "😀", 66},
		{"position in code points", "é€😀", UCS2, 1, 4, 70, "😀", 2},
		{"escape itself", "a\x1bb", UCS2, 1, 3, 70, "\x1b", 1},
	} {
		a := Analyze(c.text)
		if a.Encoding != c.encoding || a.Segments != c.segments || a.Length != c.length || a.PerSegment != c.perSegment {
			t.Errorf("%s: %+v", c.name, a)
		}
		if c.forced == "" != (a.ForcedBy == nil) || a.ForcedBy != nil && (a.ForcedBy.Character != c.forced || a.ForcedBy.Position != c.position) {
			t.Errorf("%s: forced by %+v", c.name, a.ForcedBy)
		}
	}
}

func TestSplitKeepsTextAndFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := mixedText().Draw(t, "text")
		ref := rapid.Byte().Draw(t, "ref")
		a, parts := Analyze(text), Split(text, ref)
		if len(parts) != a.Segments {
			t.Fatalf("%d segments, %d counted", len(parts), a.Segments)
		}
		var joined, decoded strings.Builder
		for i, p := range parts {
			joined.WriteString(p.Text)
			octets := len(p.UDH)
			if p.Encoding == GSM7 {
				octets += len(Pack(p.Payload, FillBits(len(p.UDH))))
			} else {
				octets += len(p.Payload)
			}
			if octets > 140 || p.DCS != a.Encoding.DCS() {
				t.Fatalf("segment %d: %d octets, %+v", i, octets, p)
			}
			u, rest, err := ParseUDH(append(bytes.Clone(p.UDH), p.Payload...))
			if len(parts) == 1 {
				rest, err = p.Payload, nil
			} else if c := u.Concat; c == nil || *c != (Concat{uint16(ref), byte(len(parts)), byte(i + 1), false}) {
				t.Fatalf("segment %d: %+v", i, c)
			}
			if err != nil || Decode(p.Encoding, rest, u.Shift) != p.Text {
				t.Fatalf("segment %d: %v %q", i, err, p.Text)
			}
			decoded.WriteString(Decode(p.Encoding, rest, u.Shift))
		}
		if joined.String() != text || decoded.String() != text {
			t.Fatalf("%q became %q", text, decoded.String())
		}
	})
}

func TestSplitGivesUpPastItsCounter(t *testing.T) {
	if n := len(Split(strings.Repeat("a", 255*153), 1)); n != 255 {
		t.Errorf("%d", n)
	}
	if s := Split(strings.Repeat("a", 255*153+1), 1); s != nil {
		t.Errorf("%d segments", len(s))
	}
}

func TestGSM7RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := gsmText().Draw(t, "text")
		septets, err := EncodeGSM7(text)
		if err != nil || DecodeGSM7(septets) != text {
			t.Fatalf("%v %x %q", err, septets, DecodeGSM7(septets))
		}
		for fill := range 7 {
			octets := Pack(septets, fill)
			if got := Unpack(octets, len(septets), fill); !bytes.Equal(got, septets) {
				t.Fatalf("fill %d: %x became %x", fill, septets, got)
			}
		}
	})
	var ce *CharError
	if _, err := EncodeGSM7("aé漢"); !errors.As(err, &ce) || ce.Character != "漢" || ce.Position != 2 || !strings.Contains(err.Error(), "漢") {
		t.Errorf("%v", err)
	}
}

func TestPackAsTheStandardDraws(t *testing.T) {
	for text, want := range map[string]string{"hellohello": "e8329bfd4697d9ec37", "1": "31", "12345678": "31d98c56b3dd70", "": ""} {
		septets, err := EncodeGSM7(text)
		if got := hex.EncodeToString(Pack(septets, 0)); err != nil || got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	// A header of 6 octets is 48 bits: one fill bit makes 49, seven septets.
	if FillBits(6) != 1 || FillBits(7) != 0 || FillBits(0) != 0 || FillBits(5) != 2 {
		t.Error("fill bits")
	}
	if got := hex.EncodeToString(Pack([]byte{'1'}, 1)); got != "62" {
		t.Errorf("%s", got)
	}
	if got := Unpack([]byte{0xe8}, 5, 0); len(got) != 1 || got[0] != 'h' {
		t.Errorf("%q", got)
	}
	if got := Unpack(nil, 5, 3); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestDecodingNeverFails(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b\x65": "€", "\x1b\x41": "A", "a\x1b": "a ", "\x1b\x1b\x65": " e", "\xff": "\ufffd", "\x1b\xff": "\ufffd", "\x00\x11": "@_",
	} {
		if got := DecodeGSM7([]byte(in)); got != want {
			t.Errorf("%x: %q, want %q", in, got, want)
		}
	}
	if got := DecodeUCS2([]byte{0xd8, 0x3d, 0xde, 0x00, 0xd8, 0x3d, 0, 'a', 0}); got != "😀\ufffda" {
		t.Errorf("%q", got)
	}
}

func TestNationalTables(t *testing.T) {
	for _, c := range []struct {
		shift Shift
		in    string
		want  string
	}{
		{Shift{Single: Turkish}, "\x1b\x47\x1b\x49\x1b\x53\x1b\x63\x1b\x67\x1b\x69\x1b\x73\x1b\x65", "ĞİŞçğış€"},
		{Shift{Locking: Turkish}, "\x04\x07\x0b\x0c\x1c\x1d\x40\x60A\x1b\x3c", "€ıĞğŞşİçA["},
		{Shift{Single: Spanish}, "\x1b\x09\x1b\x41\x1b\x49\x1b\x4f\x1b\x55\x1b\x61\x1b\x69\x1b\x6f\x1b\x75", "çÁÍÓÚáíóú"},
		{Shift{Single: Portuguese}, "\x1b\x05\x1b\x5b\x1b\x7b\x1b\x7f\x1b\x1f", "êÃãâÊ"},
		{Shift{Locking: Portuguese, Single: Portuguese}, "\x04\x06\x0f\x16\x17\x18\x5b\x7b\x1b\x61", "êúá^\\€ÃãÂ"},
		{Shift{Locking: Spanish}, "\x09", "Ç"},
		{Shift{Locking: 99, Single: 99}, "\x09\x1b\x65", "Ç€"},
	} {
		if got := DecodeShifted([]byte(c.in), c.shift); got != c.want {
			t.Errorf("%+v: %q, want %q", c.shift, got, c.want)
		}
	}
}

func TestUDHFields(t *testing.T) {
	for in, check := range map[string]func(UDH) bool{
		"0500034203 01":   func(u UDH) bool { return *u.Concat == Concat{0x42, 3, 1, false} },
		"0608041234 0302": func(u UDH) bool { return *u.Concat == Concat{0x1234, 3, 2, true} },
		"0b05040b8423f0 0003070201": func(u UDH) bool {
			return *u.Ports == Ports{0x0b84, 0x23f0} && u.Concat.Ref == 7 && len(u.Elements) == 2
		},
		"04040201 02":             func(u UDH) bool { return *u.Ports == Ports{1, 2} },
		"06240101250103":          func(u UDH) bool { return u.Shift == Shift{Locking: Portuguese, Single: Turkish} },
		"0500034203 04":           func(u UDH) bool { return u.Concat == nil },
		"0500034200 00":           func(u UDH) bool { return u.Concat == nil },
		"0500034203 00":           func(u UDH) bool { return u.Concat == nil },
		"0a0003010201 0003020202": func(u UDH) bool { return u.Concat.Ref == 2 },
		"037f01aa":                func(u UDH) bool { return u.Concat == nil && u.Elements[0].ID == 0x7f },
		"00":                      func(u UDH) bool { return u.Elements == nil },
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(in, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		u, rest, err := ParseUDH(append(b, "rest"...))
		if err != nil || string(rest) != "rest" || !check(u) {
			t.Errorf("%s: %+v %q %v", in, u, rest, err)
		}
	}
	for _, in := range []string{"", "05", "0500030102", "020003", "0100", "040003010201"} {
		b, _ := hex.DecodeString(in)
		if u, _, err := ParseUDH(b); !errors.Is(err, ErrUDH) {
			t.Errorf("%s: %+v %v", in, u, err)
		}
	}
}

func TestUDHRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Concat{Ref: uint16(rapid.Byte().Draw(t, "ref")), Total: rapid.ByteRange(1, 255).Draw(t, "total"), Wide: rapid.Bool().Draw(t, "wide")}
		c.Seq = rapid.ByteRange(1, c.Total).Draw(t, "seq")
		if c.Wide {
			c.Ref |= 0xab00
		}
		u, rest, err := ParseUDH(c.Bytes())
		if err != nil || len(rest) != 0 || *u.Concat != c {
			t.Fatalf("%+v became %+v %v", c, u.Concat, err)
		}
		again, err := BuildUDH(u.Elements...)
		if err != nil || !bytes.Equal(again, c.Bytes()) {
			t.Fatalf("%x, want %x: %v", again, c.Bytes(), err)
		}
	})
	if b, err := BuildUDH(); b != nil || err != nil {
		t.Errorf("%x %v", b, err)
	}
	if _, err := BuildUDH(Element{1, make([]byte, 200)}, Element{1, make([]byte, 200)}); !errors.Is(err, ErrUDH) {
		t.Errorf("%v", err)
	}
	if _, err := BuildUDH(Element{1, make([]byte, 256)}); !errors.Is(err, ErrUDH) {
		t.Errorf("%v", err)
	}
}

func TestDataCodingSchemes(t *testing.T) {
	for dcs, want := range map[byte]Encoding{0x00: GSM7, 0x04: Binary, 0x08: UCS2, 0x0c: GSM7, 0x11: GSM7, 0x18: UCS2, 0x15: Binary, 0x48: UCS2, 0x80: GSM7, 0xc8: GSM7, 0xd0: GSM7, 0xe0: UCS2, 0xf1: GSM7, 0xf5: Binary} {
		if got := ParseDCS(dcs); got != want {
			t.Errorf("%#x: %s, want %s", dcs, got, want)
		}
	}
	for _, e := range []Encoding{GSM7, UCS2, Binary} {
		if ParseDCS(e.DCS()) != e {
			t.Errorf("%s does not come back", e)
		}
	}
	if Decode(Binary, []byte("x"), Shift{}) != "" {
		t.Error("binary read as text")
	}
}

func TestSmartReplacesLookAlikesOnly(t *testing.T) {
	for in, want := range map[string]string{
		"“It’s 5–6 pm…”": `"It's 5-6 pm..."`, "a\u00a0b\u200bc": "a bc", "• one": "* one", "naïve façade": "naïve façade", "plain": "plain",
		"👨‍👩‍👧": "👨‍👩‍👧", "「x」": "「x」",
	} {
		if got := Smart(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestSmartNeverMakesATextDearer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("ab’“”–…•\u00a0\tyz€→½™ｘ漢"))).Draw(t, "text")
		smart := Smart(text)
		if Smart(smart) != smart {
			t.Fatalf("%q changes again", smart)
		}
		if Analyze(text).Encoding == GSM7 && smart != text {
			t.Fatalf("%q was fine and became %q", text, smart)
		}
	})
}

func FuzzParseUDH(f *testing.F) {
	for _, s := range []string{"0500034203" + "01", "06080412340302", "0b05040b8423f00003070201", "ff", "00"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Add(append([]byte{255, 1, 253}, make([]byte, 300)...)) // the longest header
	f.Fuzz(func(t *testing.T, b []byte) {
		u, rest, err := ParseUDH(b)
		if err != nil {
			return
		}
		again, err := BuildUDH(u.Elements...)
		if err != nil || len(u.Elements) > 0 && !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("%x became %x: %v", b, again, err)
		}
		for _, e := range []Encoding{GSM7, UCS2} {
			if !utf8.ValidString(Decode(e, rest, u.Shift)) {
				t.Fatalf("%x gives invalid text", b)
			}
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add("hello €", byte(1))
	f.Add(strings.Repeat("😀", 80), byte(2))
	f.Fuzz(func(t *testing.T, text string, ref byte) {
		text = strings.ToValidUTF8(text, "\ufffd")
		var b strings.Builder
		parts := Split(text, ref)
		if parts == nil && Analyze(text).Segments <= MaxSegments {
			t.Fatal("no segments")
		}
		for _, s := range parts {
			b.WriteString(Decode(s.Encoding, s.Payload, Shift{}))
		}
		if parts != nil && b.String() != text {
			t.Fatalf("%q became %q", text, b.String())
		}
	})
}
