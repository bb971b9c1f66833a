package rtp

import (
	"errors"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

func joined(t *testing.T, a, b *Stream) *Bridge {
	t.Helper()
	br, err := Connect(a, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(br.Unbridge)
	return br
}

func TestBridgeForwardsTheSameCodecUnchanged(t *testing.T) {
	c := testClock(t)
	a, pa := wired(t, c, nil, nil)
	b, pb := wired(t, c, nil, nil)
	joined(t, a, b)
	var previous packet
	for i := range 10 {
		lost := i == 5
		if lost {
			pa.seq++
			pa.ts += audio.FrameSamples
		}
		pa.say(byte(i))
		got := pb.hear()
		if got.payload[0] != byte(i) || len(got.payload) != audio.FrameSamples || got.pt != 0 || got.from != b.LocalAddr() {
			t.Fatalf("packet %d: %+v", i, got.header)
		}
		step := uint16(1)
		if lost {
			step = 2 // a loss stays visible
		}
		if i > 0 && (got.seq-previous.seq != step || got.ts-previous.ts != uint32(step)*audio.FrameSamples || got.marker) {
			t.Errorf("packet %d: %+v after %+v", i, got.header, previous.header)
		}
		if got.ssrc == pa.ssrc {
			t.Error("the SSRC is the other leg's")
		}
		previous = got
	}
	pb.say(0x44)
	if got := pa.hear(); got.payload[0] != 0x44 {
		t.Errorf("the other way: %x", got.payload[0])
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hear != nil || a.say != nil {
		t.Error("a relayed leg is decoded")
	}
}

func TestBridgeRewritesTheLaw(t *testing.T) {
	c := testClock(t)
	a, pa := wired(t, c, nil, nil)
	b, pb := wired(t, c, nil, func(p *Params) { p.Codec, p.PT = "PCMA", 8 })
	joined(t, a, b)
	pa.say(0x85)
	want := []byte{0x85}
	audio.Transcode(audio.ULaw, audio.ALaw, want)
	if got := pb.hear(); got.pt != 8 || got.payload[9] != want[0] {
		t.Errorf("pt %d payload %x, want %x", got.pt, got.payload[9], want[0])
	}
	pb.say(0x35)
	want[0] = 0x35
	audio.Transcode(audio.ALaw, audio.ULaw, want)
	if got := pa.hear(); got.pt != 0 || got.payload[9] != want[0] {
		t.Errorf("pt %d payload %x, want %x", got.pt, got.payload[9], want[0])
	}
}

func TestBridgeCarriesKeysAndTellsThem(t *testing.T) {
	c := testClock(t)
	keys := make(chan byte, 8)
	a, pa := wired(t, c, func(c *Config) { c.OnKey = func(k byte, _ time.Duration) { keys <- k } }, nil)
	b, pb := wired(t, c, nil, func(p *Params) { p.DTMFPT = 97 })
	joined(t, a, b)
	pa.say(1)
	before := pb.hear()
	start := pa.ts
	for i := range 4 {
		pa.key(101, 8, start, uint16((i+1)*160), i == 3)
		got := pb.hear()
		if got.pt != 97 || got.ts != before.ts+audio.FrameSamples || got.payload[0] != 8 || got.seq != before.seq+uint16(i)+1 {
			t.Errorf("packet %d: %+v", i, got.header)
		}
	}
	if k := until(t, keys, "the key", always); k != '8' || len(keys) != 0 {
		t.Errorf("got %c and %d more", k, len(keys))
	}
}

func TestExtensionsAndPaddingAreNotForwarded(t *testing.T) {
	c := testClock(t)
	a, pa := wired(t, c, nil, nil)
	b, pb := wired(t, c, nil, nil)
	joined(t, a, b)
	raw := make([]byte, headerSize)
	header{seq: 9, ts: 9, ssrc: 9}.put(raw)
	raw[0] |= 0x30
	raw = append(raw, 0xbe, 0xde, 0, 1, 1, 2, 3, 4, 0x61, 0x62, 0x63, 0, 2)
	if _, err := pa.conn.WriteToUDPAddrPort(raw, pa.to); err != nil {
		t.Fatal(err)
	}
	if got := pb.hear(); string(got.payload) != "abc" {
		t.Errorf("got %q", got.payload)
	}
}

func TestOpaqueCodecPassesThrough(t *testing.T) {
	c := testClock(t)
	g729 := func(p *Params) { p.Codec, p.PT = "G729", 18 }
	a, pa := wired(t, c, nil, g729)
	b, pb := wired(t, c, nil, g729)
	joined(t, a, b)
	pa.write(header{pt: 18, seq: 1, ts: 1, ssrc: 1}, []byte("0123456789"))
	if got := pb.hear(); got.pt != 18 || string(got.payload) != "0123456789" {
		t.Errorf("got %+v %q", got.header, got.payload)
	}
	plain, _ := wired(t, c, nil, nil)
	other, _ := wired(t, c, nil, g729)
	if _, err := Connect(plain, other); !errors.Is(err, ErrCodec) {
		t.Errorf("got %v", err)
	}
}

func TestNumbersGoOnThroughPlayAndBridge(t *testing.T) {
	c := testClock(t)
	a, pa := wired(t, c, nil, nil)
	b, pb := wired(t, c, nil, nil)
	var previous packet
	check := func(what string, got packet, marker bool) {
		t.Helper()
		if previous.payload != nil && (got.seq != previous.seq+1 || int32(got.ts-previous.ts) < audio.FrameSamples || got.ssrc != previous.ssrc) {
			t.Errorf("%s: %+v after %+v", what, got.header, previous.header)
		}
		if got.marker != marker {
			t.Errorf("%s: marker %v", what, got.marker)
		}
		previous = got
	}
	check("own", pb.hearAfter(b), true)
	br := joined(t, a, b)
	pa.say(1)
	check("bridged", pb.hear(), true)
	pa.say(1)
	check("bridged again", pb.hear(), false)

	done := b.Play(constant(2, 700))
	first := pb.hear()
	previous.marker = false
	check("played over the bridge", first, first.marker)
	check("played on", pb.hear(), false)
	<-done
	pa.say(1)
	check("bridged once more", pb.hear(), true)
	br.Unbridge()
	br.Unbridge()
	check("own again", pb.hearAfter(b), true)
	if _, err := Connect(a, b); err != nil {
		t.Errorf("connect again: %v", err)
	}
}

func TestPlayingSilencesThePeer(t *testing.T) {
	c := testClock(t)
	a, pa := wired(t, c, nil, nil)
	b, pb := wired(t, c, nil, nil)
	joined(t, a, b)
	b.Play(audio.Silence(-1))
	pb.hear()
	pa.say(0x55)
	settled2(t, a, 1)
	b.Stop()
	pa.say(0x66)
	for {
		got := pb.hear()
		if got.payload[0] == 0x55 {
			t.Fatal("heard through the prompt")
		}
		if got.payload[0] == 0x66 {
			break
		}
	}
}

// settled2 waits for packets of a leg that may be played on.
func settled2(t *testing.T, s *Stream, n uint64) {
	t.Helper()
	ch, in := frames(1)
	remove := s.Tap(in, nil)
	defer remove()
	until(t, ch, "the packets", func([]int16) bool { return s.Stats().PacketsReceived >= n })
}

func TestTapsHearBothDirectionsOfABridge(t *testing.T) {
	c := testClock(t)
	a, pa := wired(t, c, nil, nil)
	b, pb := wired(t, c, nil, func(p *Params) { p.Codec, p.PT = "PCMA", 8 })
	joined(t, a, b)
	in, tapIn := frames(1024)
	out, tapOut := frames(1024)
	remove := a.Tap(tapIn, tapOut)
	for range 3 {
		pa.say(0x85)
		pb.say(0x35)
	}
	until(t, in, "what a says", func(f []int16) bool { return f[80] == level(audio.ULaw, 0x85) })
	until(t, out, "what a hears", func(f []int16) bool { return f[80] == level(audio.ALaw, 0x35) })
	remove()
	a.mu.Lock()
	if a.hear != nil || a.say != nil {
		t.Error("still decoded")
	}
	a.mu.Unlock()
}

func TestTapGetsOneFrameEachTurn(t *testing.T) {
	s, p := wired(t, testClock(t), func(c *Config) { c.NoSilence = false }, nil)
	type mark struct{ out bool }
	marks := make(chan mark, 4096)
	loud := make(chan int16, 4096)
	remove := s.Tap(func([]int16) { marks <- mark{} }, func(f []int16) {
		marks <- mark{out: true}
		if f[0] != 0 {
			loud <- f[0]
		}
	})
	p.hear()
	for range 3 {
		<-s.Play(constant(4, 8000))
		p.hear()
	}
	remove()
	s.Close()
	close(marks)
	want := false
	for m := range marks {
		if m.out != want {
			t.Fatal("frames of both directions do not alternate")
		}
		want = !want
	}
	if n := len(loud); n < 11 || n > 12 {
		t.Errorf("%d frames of sound on the tap, want those of three plays", n)
	}
}

func TestBridgedLegThatIsSilentIsKeptOpen(t *testing.T) {
	c := testClock(t)
	silent := func(c *Config) { c.NoSilence = false }
	a, pa := wired(t, c, silent, nil)
	b, pb := wired(t, c, silent, nil)
	joined(t, a, b)
	pa.say(1)
	for pb.hear().payload[0] != 1 {
	}
	if got := pb.hear(); got.payload[0] != audio.ULaw.SilenceByte() {
		t.Errorf("got %x", got.payload[0])
	}
	pa.say(2)
	for pb.hear().payload[0] != 2 {
	}
}

func TestWhoMayBeBridged(t *testing.T) {
	c := testClock(t)
	a, _ := wired(t, c, nil, nil)
	b, _ := wired(t, c, nil, nil)
	other, _ := wired(t, c, nil, nil)
	joined(t, a, b)
	for _, pair := range [][2]*Stream{{a, other}, {other, a}, {other, other}} {
		if _, err := Connect(pair[0], pair[1]); !errors.Is(err, ErrBridged) {
			t.Errorf("got %v", err)
		}
	}
	b.Close()
	if _, err := Connect(a, b); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := Connect(a, other); err != nil {
		t.Errorf("after the peer closed: %v", err)
	}
}
