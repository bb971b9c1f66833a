package rtp

import "testing"

func TestPayloadLiesBetweenHeaderAndPadding(t *testing.T) {
	plain := []byte{0x80, 0x80 | 8, 0, 7, 0, 0, 0, 9, 0, 0, 0, 3, 'a', 'b'}
	with := func(first byte, middle ...byte) []byte {
		b := append([]byte{first}, plain[1:12]...)
		return append(append(b, middle...), 'a', 'b')
	}
	cases := map[string]struct {
		b          []byte
		start, end int
	}{
		"plain":            {plain, 12, 14},
		"empty":            {plain[:12], 12, 12},
		"two sources":      {with(0x82, 1, 1, 1, 1, 2, 2, 2, 2), 20, 22},
		"extension":        {with(0x90, 0xbe, 0xde, 0, 1, 9, 9, 9, 9), 20, 22},
		"empty extension":  {with(0x90, 0, 0, 0, 0), 16, 18},
		"padding":          {append(with(0xa0), 0, 0, 3), 12, 14},
		"all together":     {append(with(0xb1, 1, 1, 1, 1, 0, 0, 0, 1, 9, 9, 9, 9), 1), 24, 26},
		"only padding":     {append(append([]byte{0xa0}, plain[1:12]...), 1), 12, 12},
		"padding too long": {append(with(0xa0), 200), 0, 0},
		"padding of zero":  {append(with(0xa0), 0), 0, 0},
		"version 1":        {with(0x40), 0, 0},
		"short":            {plain[:11], 0, 0},
		"sources missing":  {with(0x8f), 0, 0},
		"extension cut":    {with(0x90, 0, 0, 0, 9), 0, 0},
		"extension absent": {append([]byte{0x90}, plain[1:12]...), 0, 0},
	}
	for name, c := range cases {
		h, start, end, ok := parse(c.b)
		if ok != (c.end > 0) || start != c.start || end != c.end {
			t.Errorf("%s: got %d..%d %v", name, start, end, ok)
		}
		if want := (header{marker: true, pt: 8, seq: 7, ts: 9, ssrc: 3}); ok && h != want {
			t.Errorf("%s: got %+v", name, h)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xff})
	f.Add([]byte{0xb1, 0x88, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 1, 1, 1, 0xbe, 0xde, 0, 1, 5, 5, 5, 5, 0xd5, 1})
	f.Add([]byte{0x80, 101, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 5, 0x8a, 3, 0x20})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, start, end, ok := parse(b)
		if !ok {
			return
		}
		if start < headerSize || end < start || end > len(b) {
			t.Fatalf("payload %d..%d of %d bytes", start, end, len(b))
		}
		own := make([]byte, headerSize)
		h.put(own)
		if again, _, _, ok := parse(own); !ok || again != h {
			t.Fatalf("%+v became %+v", h, again)
		}
		var k keysIn
		for range 2 {
			k.receive(h.ts, b[start:end], 0)
		}
	})
}
