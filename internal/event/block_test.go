package event

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

func TestABlockGivesBackWhatWasPacked(t *testing.T) {
	var rows []Row
	for i := range 3*blockEvents + 5 {
		rows = append(rows, Row{Seq: int64(i + 1), Body: []byte(fmt.Sprintf(`{"uuid":"%d","message":"%s"}`, i, strings.Repeat("x", i*40)))})
	}
	rows = append(rows, Row{Body: bytes.Repeat([]byte("y"), 3*blockBytes)}, Row{Body: nil}, Row{Body: []byte("z")})
	var all [][]byte
	for _, part := range blocks(rows) {
		if len(part) > blockEvents {
			t.Fatalf("a block of %d events", len(part))
		}
		bodies, err := unpack(new(packer).pack(part))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bodies...)
	}
	if len(all) != len(rows) {
		t.Fatalf("%d of %d", len(all), len(rows))
	}
	for i, b := range all {
		if !bytes.Equal(b, rows[i].Body) {
			t.Fatalf("envelope %d differs", i)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(new(packer).pack([]Row{{Body: []byte(`{"uuid":"a"}`)}, {Body: []byte(`{"uuid":"b"}`)}}))
	f.Add(s2.Encode(nil, []byte{200, 1, 'x'}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, block []byte) {
		bodies, err := unpack(block)
		if err != nil {
			return
		}
		var rows []Row
		for _, b := range bodies {
			rows = append(rows, Row{Body: b})
		}
		again, err := unpack(new(packer).pack(rows))
		if err != nil || len(again) != len(bodies) {
			t.Fatalf("%d became %d, %v", len(bodies), len(again), err)
		}
	})
}
