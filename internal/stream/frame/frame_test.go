package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// masked writes a client's frame: first byte, second byte's length bits as they stand, any extended length, a mask, the payload.
func masked(first, short byte, extended []byte, payload string) []byte {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d} // that of the standard's own example, RFC 6455 §5.7
	b := append([]byte{first, 0x80 | short}, extended...)
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// client writes a frame with the shortest length.
func client(first byte, payload string) []byte {
	switch n := len(payload); {
	case n < 126:
		return masked(first, byte(n), nil, payload)
	case n < 1<<16:
		return masked(first, 126, binary.BigEndian.AppendUint16(nil, uint16(n)), payload)
	default:
		return masked(first, 127, binary.BigEndian.AppendUint64(nil, uint64(n)), payload)
	}
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

const limit = 64 << 10

func TestTheStandardsExample(t *testing.T) {
	in := []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58} // RFC 6455 §5.7: a masked "Hello"
	m, err := NewReader(bytes.NewReader(in), limit).Next()
	if err != nil || m.Op != Text || string(m.Payload) != "Hello" {
		t.Fatal(m, err)
	}
	if out := Append(nil, Text, []byte("Hello")); !bytes.Equal(out, []byte{0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f}) {
		t.Fatalf("% x", out)
	}
}

func TestMessagesThatAreWhole(t *testing.T) {
	long := strings.Repeat("é", limit/2)
	for name, c := range map[string]struct {
		in   []byte
		want []string
	}{
		"empty text":                        {client(0x81, ""), []string{"1:"}},
		"125, 126, 127 bytes":               {join(client(0x81, long[:124]), client(0x81, long[:126]), client(0x81, long[:128])), []string{"1:" + long[:124], "1:" + long[:126], "1:" + long[:128]}},
		"the longest":                       {client(0x81, long), []string{"1:" + long}},
		"fragments":                         {join(client(0x01, "a"), client(0x00, ""), client(0x00, "b"), client(0x80, "c")), []string{"1:abc"}},
		"control frames between fragments":  {join(client(0x01, "a"), client(0x89, "ping"), client(0x00, "b"), client(0x8a, ""), client(0x80, "c")), []string{"9:ping", "10:", "1:abc"}},
		"a character cut by fragments":      {join(client(0x01, "\xf0\x9f"), client(0x00, "\x98"), client(0x80, "\x80")), []string{"1:\U0001F600"}},
		"non-characters and the last plane": {client(0x81, "\uFFFE\U0010FFFF\uFFFD"), []string{"1:\uFFFE\U0010FFFF\uFFFD"}},
		"close without a code":              {client(0x88, ""), []string{"8:1005"}},
		"close with code and reason":        {client(0x88, "\x03\xe8bye é"), []string{"8:1000bye é"}},
		"125 bytes in a ping":               {client(0x89, long[:124]+"x"), []string{"9:" + long[:124] + "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, in := range []io.Reader{bytes.NewReader(c.in), iotest.OneByteReader(bytes.NewReader(c.in))} {
				r := NewReader(in, limit)
				for _, want := range c.want {
					m, err := r.Next()
					got := itoa(int(m.Op)) + ":"
					if m.Op == Close {
						got += itoa(m.Code)
					}
					if got += string(m.Payload); err != nil || got != want {
						t.Fatalf("got %.40q, %v, want %.40q", got, err, want)
					}
				}
				if _, err := r.Next(); !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
		})
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestWhatTheStandardForbids(t *testing.T) {
	cases := map[string]struct {
		in   []byte
		code int
	}{
		"unmasked frame, §5.1":                 {[]byte{0x81, 0x01, 'a'}, 1002},
		"fragmented control frame, §5.5":       {client(0x09, "a"), 1002},
		"control frame of 126 bytes, §5.5":     {client(0x89, strings.Repeat("a", 126)), 1002},
		"close frame of 126 bytes, §5.5":       {client(0x88, strings.Repeat("a", 126)), 1002},
		"continuation of nothing, §5.4":        {client(0x80, "a"), 1002},
		"unfinished continuation of nothing":   {client(0x00, "a"), 1002},
		"text inside a fragmented text, §5.4":  {join(client(0x01, "a"), client(0x81, "b")), 1002},
		"binary inside a fragmented text":      {join(client(0x01, "a"), client(0x82, "b")), 1002},
		"continuation after the end":           {join(client(0x01, "a"), client(0x80, "b"), client(0x80, "c")), 1002},
		"long form for 125 bytes, §5.2":        {masked(0x81, 126, []byte{0, 125}, strings.Repeat("a", 125)), 1002},
		"longest form for 65535 bytes, §5.2":   {masked(0x81, 127, []byte{0, 0, 0, 0, 0, 0, 0xff, 0xff}, ""), 1002},
		"length with the highest bit, §5.2":    {masked(0x81, 127, []byte{0x80, 0, 0, 0, 0, 1, 0, 0}, ""), 1002},
		"close with one byte, §5.5.1":          {client(0x88, "\x03"), 1002},
		"close with a reason that is no UTF-8": {client(0x88, "\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"), 1007},
		"text that is no UTF-8, §8.1":          {client(0x81, "a\xff"), 1007},
		"a surrogate":                          {client(0x81, "\xed\xa0\x80"), 1007},
		"an overlong form":                     {client(0x81, "\xc0\xaf"), 1007},
		"beyond the last plane":                {client(0x81, "\xf4\x90\x80\x80"), 1007},
		"a character that ends too early":      {client(0x81, "a\xe2\x82"), 1007},
		"no UTF-8 in the first fragment":       {client(0x01, "a\xff"), 1007},
		"a character cut and continued wrong":  {join(client(0x01, "\xe2\x82"), client(0x00, "a")), 1007},
		"a cut character never finished":       {join(client(0x01, "\xe2\x82"), client(0x80, "")), 1007},
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases["reserved opcode "+itoa(int(op))+", §5.2"] = struct {
			in   []byte
			code int
		}{client(0x80|op, ""), 1002}
	}
	for i, bit := range []byte{0x40, 0x20, 0x10} {
		cases["reserved bit "+itoa(i+1)+", §5.2"] = struct {
			in   []byte
			code int
		}{client(0x81|bit, "a"), 1002}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := NewReader(bytes.NewReader(c.in), limit)
			for {
				m, err := r.Next()
				if err == nil {
					if m.Op == Close {
						t.Fatal("taken as a close frame")
					}
					continue
				}
				var e *Error
				if !errors.As(err, &e) || e.Code != c.code {
					t.Fatalf("got %v, want %d", err, c.code)
				}
				return
			}
		})
	}
}

func TestCloseCodes(t *testing.T) {
	for code, ok := range map[uint16]bool{
		0: false, 999: false, 1000: true, 1001: true, 1002: true, 1003: true, 1004: false, 1005: false, 1006: false, 1007: true, 1008: true, 1009: true,
		1010: true, 1011: true, 1012: true, 1014: true, 1015: false, 1016: false, 2999: false, 3000: true, 3999: true, 4000: true, 4999: true, 5000: false, 65535: false,
	} {
		m, err := NewReader(bytes.NewReader(client(0x88, string(binary.BigEndian.AppendUint16(nil, code)))), limit).Next()
		if (err == nil) != ok || ok && m.Code != int(code) {
			t.Errorf("%d: %v, %v", code, m, err)
		}
	}
}

func TestTooLargeAndBinaryAreToldBeforeTheirPayload(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"one frame":        {client(0x81, strings.Repeat("a", limit+1))[:14], ErrTooLarge},
		"an absurd length": {masked(0x81, 127, []byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ""), ErrTooLarge},
		"fragments":        {join(client(0x01, strings.Repeat("a", limit)), client(0x00, "a")), ErrTooLarge},
		"binary":           {client(0x82, "abc")[:2], ErrBinary},
		"binary fragment":  {client(0x02, "abc")[:2], ErrBinary},
	} {
		if _, err := NewReader(bytes.NewReader(c.in), limit).Next(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACutConnectionIsAnErrorOfTheConnection(t *testing.T) {
	whole := client(0x81, strings.Repeat("a", 300))
	for n := range whole {
		if _, err := NewReader(bytes.NewReader(whole[:n]), limit).Next(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestFramesOfTheServer(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536} {
		b := Append(nil, Text, bytes.Repeat([]byte("a"), n))
		head := 2
		switch {
		case n > 65535:
			head = 10
		case n > 125:
			head = 4
		}
		if len(b) != head+n || b[0] != 0x81 || b[1]&0x80 != 0 {
			t.Errorf("%d bytes: % x", n, b[:10])
		}
	}
	long := AppendClose(nil, 4400, strings.Repeat("é", 100))
	if len(long) > 127 || !utf8.Valid(long[4:]) || binary.BigEndian.Uint16(long[2:]) != 4400 {
		t.Errorf("% x", long)
	}
	if b := AppendClose(nil, NoStatus, "x"); !bytes.Equal(b, []byte{0x88, 0}) {
		t.Errorf("% x", b)
	}
	if b := Append(nil, Pong, make([]byte, 200)); b[1] != 125 {
		t.Errorf("% x", b[:2])
	}
}

// FuzzReader: whatever comes, the reader ends, never gives more than the limit, and what it gives as text is UTF-8.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58})
	f.Add(join(client(0x01, "a"), client(0x89, "p"), client(0x80, "\xe2\x82\xac")))
	f.Add(client(0x88, "\x03\xe8"))
	f.Add(client(0x81, strings.Repeat("z", 300)))
	f.Add(masked(0x81, 127, []byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ""))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in), 512)
		for range len(in) + 1 {
			m, err := r.Next()
			if err != nil {
				return
			}
			if m.Op == Text && (len(m.Payload) > 512 || !utf8.Valid(m.Payload)) || m.Op > Text && len(m.Payload) > maxControl {
				t.Fatalf("%v", m)
			}
		}
		t.Fatal("more messages than bytes")
	})
}
