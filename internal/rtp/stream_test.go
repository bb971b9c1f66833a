package rtp

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/opentact/opentact/internal/audio"
)

// constant is a source of n frames of one level.
func constant(n int, v int16) audio.Source {
	samples := make([]int16, n*audio.FrameSamples)
	for i := range samples {
		samples[i] = v
	}
	return audio.FromSamples(samples)
}

func TestPlayedSourceArrivesWhole(t *testing.T) {
	s, p := wired(t, testClock(t), nil, func(p *Params) { p.Codec, p.PT = "PCMA", 8 })
	want := level(audio.ALaw, 0x90)
	done := s.Play(constant(10, want))
	var previous packet
	for i := range 10 {
		got := p.hear()
		if got.pt != 8 || len(got.payload) != audio.FrameSamples || got.payload[77] != 0x90 || got.from != s.LocalAddr() {
			t.Fatalf("packet %d: %+v", i, got.header)
		}
		if got.marker != (i == 0) {
			t.Errorf("packet %d: marker %v", i, got.marker)
		}
		if i > 0 && (got.seq != previous.seq+1 || got.ts != previous.ts+audio.FrameSamples || got.ssrc != previous.ssrc) {
			t.Errorf("packet %d: %+v after %+v", i, got.header, previous.header)
		}
		previous = got
	}
	if err := <-done; err != nil {
		t.Errorf("playing ended with %v", err)
	}
	if st := s.Stats(); st.PacketsSent != 10 || st.BytesSent != 1600 {
		t.Errorf("stats %+v", st)
	}
}

func TestTimestampsCountTheTimeBetweenPlays(t *testing.T) {
	s, p := wired(t, testClock(t), nil, nil)
	<-s.Play(constant(3, 1000))
	var last packet
	for range 3 {
		last = p.hear()
	}
	<-s.Play(constant(1, 1000)) // paces the test: the pause is at least this long
	second := p.hear()
	gap := int32(second.ts - last.ts)
	if second.seq != last.seq+1 || !second.marker || gap < audio.FrameSamples {
		t.Errorf("after the pause %+v, before %+v", second.header, last.header)
	}
	// The wall clock and the timestamps tell the same pause.
	if off := second.at.Sub(last.at) - time.Duration(gap)*time.Second/8000; off > time.Second || off < -time.Second {
		t.Errorf("timestamps are off by %v", off)
	}
}

func TestIdleLegSendsSilenceAndPlaysInBetween(t *testing.T) {
	s, p := wired(t, testClock(t), func(c *Config) { c.NoSilence = false }, nil)
	first := p.hear()
	if first.payload[0] != audio.ULaw.SilenceByte() {
		t.Fatalf("payload %x", first.payload[0])
	}
	done := s.Play(constant(5, 8000))
	loud, after := 0, 0
	for previous := first; after < 5; {
		got := p.hear()
		if got.seq != previous.seq+1 || got.ts-previous.ts != audio.FrameSamples {
			t.Fatalf("%+v after %+v", got.header, previous.header)
		}
		switch {
		case got.payload[0] != audio.ULaw.SilenceByte():
			if loud++; got.marker != (loud == 1) {
				t.Errorf("loud packet %d: marker %v", loud, got.marker)
			}
		case loud > 0:
			after++
		}
		previous = got
	}
	if loud != 5 {
		t.Errorf("%d packets of sound", loud)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) ReadFrame([]int16) (int, error) { return 0, f.err }

func TestHowPlayingEnds(t *testing.T) {
	s, _ := wired(t, testClock(t), nil, nil)
	broken := errors.New("broken")
	if err := <-s.Play(failing{broken}); !errors.Is(err, broken) {
		t.Errorf("failing source: %v", err)
	}
	if err := <-s.Play(failing{io.EOF}); err != nil {
		t.Errorf("empty source: %v", err)
	}
	first := s.Play(audio.Silence(-1))
	second := s.Play(audio.Silence(-1))
	if err := <-first; !errors.Is(err, ErrStopped) {
		t.Errorf("replaced: %v", err)
	}
	s.Stop()
	if err := <-second; !errors.Is(err, ErrStopped) {
		t.Errorf("stopped: %v", err)
	}
	third := s.Play(audio.Silence(-1))
	s.Close()
	s.Close()
	if err := <-third; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := <-s.Play(audio.Silence(-1)); !errors.Is(err, ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
	if err := s.Update(Params{}); !errors.Is(err, ErrClosed) {
		t.Errorf("update after closing: %v", err)
	}
}

func TestOtherCodecsAreNotPlayed(t *testing.T) {
	s, _ := wired(t, testClock(t), nil, func(p *Params) { p.Codec, p.PT = "G729", 18 })
	if err := <-s.Play(constant(1, 1)); !errors.Is(err, ErrCodec) {
		t.Errorf("got %v", err)
	}
}

func TestSinkHearsWhatIsReceived(t *testing.T) {
	s, p := wired(t, testClock(t), nil, nil)
	ch, sink := frames(512)
	s.SetSink(sink)
	p.say(0x85)
	p.say(0x85)
	p.write(header{pt: 13, seq: p.seq, ts: p.ts, ssrc: p.ssrc}, []byte{40}) // comfort noise
	p.seq++
	p.pt = 8 // a device that changes its mind
	p.say(0x35)
	until(t, ch, "silence first", func(f []int16) bool { return f[0] == 0 })
	until(t, ch, "the sound", func(f []int16) bool { return f[0] == level(audio.ULaw, 0x85) })
	until(t, ch, "the other law", func(f []int16) bool { return f[0] == level(audio.ALaw, 0x35) })
	s.SetSink(nil)
	if st := s.Stats(); st.PacketsReceived != 4 || st.Lost != 0 || st.MOS < 4 || st.LastPacket.IsZero() {
		t.Errorf("stats %+v", st)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hear != nil {
		t.Error("decodes although nobody listens")
	}
}

// sync waits until the stream has seen n datagrams.
func settled(t *testing.T, s *Stream, n uint64) Stats {
	t.Helper()
	limit := time.Now().Add(patience)
	for {
		st := s.Stats()
		if st.PacketsReceived+st.Refused >= n {
			return st
		}
		if time.Now().After(limit) {
			t.Fatalf("only %d datagrams came", st.PacketsReceived+st.Refused)
		}
		<-s.Play(constant(1, 0)) // a tick passes
	}
}

func TestWhatIsNoPacketOfTheCallIsRefused(t *testing.T) {
	s, p := wired(t, testClock(t), nil, nil)
	p.pt = 96
	p.say(1)
	if _, err := p.conn.WriteToUDPAddrPort([]byte{0, 1, 0, 0}, p.to); err != nil { // STUN
		t.Fatal(err)
	}
	if st := settled(t, s, 2); st.PacketsReceived != 0 || st.Refused != 2 || !st.LastPacket.IsZero() {
		t.Errorf("stats %+v", st)
	}
}

func TestPacketsGoWhereThePeersComeFrom(t *testing.T) {
	for _, follow := range []bool{true, false} {
		s, signalled := wired(t, testClock(t), nil, func(p *Params) { p.Latch = follow })
		natted := newPhone(t, s.LocalAddr())
		natted.say(1)
		settled(t, s, 1)
		want := natted.addr()
		if !follow {
			want = signalled.addr()
		}
		if got := s.Remote(); got != want {
			t.Errorf("latch %v: sends to %v, want %v", follow, got, want)
		}
	}
}

func TestStrangerDoesNotTakeALiveStream(t *testing.T) {
	s, p := wired(t, testClock(t), nil, nil)
	stranger := newPhone(t, s.LocalAddr())
	stranger.ssrc = 0x9999
	for range 20 {
		p.say(1)
		stranger.say(2)
		stranger.say(2)
	}
	st := settled(t, s, 60)
	if s.Remote() != p.addr() || st.PacketsReceived != 20 || st.Refused != 40 {
		t.Errorf("sends to %v; %+v", s.Remote(), st)
	}
}

func TestPeerThatMovesIsFollowed(t *testing.T) {
	s, p := wired(t, testClock(t), nil, nil)
	p.say(1)
	settled(t, s, 1)
	moved := newPhone(t, s.LocalAddr())
	limit := time.Now().Add(patience)
	for s.Remote() != moved.addr() {
		if time.Now().After(limit) {
			t.Fatal("never followed")
		}
		moved.say(1)
		<-s.Play(constant(1, 0))
	}
	if got := s.Stats().Refused; got < latchPackets-1 {
		t.Errorf("believed after %d packets", got)
	}
}

func TestUpdateSendsElsewhereAndGoesOnCounting(t *testing.T) {
	s, p := wired(t, testClock(t), nil, nil)
	p.say(1)
	settled(t, s, 1)
	before := p.hearAfter(s)
	other := newPhone(t, s.LocalAddr())
	par := plainParams(other.addr())
	par.Codec, par.PT = "PCMA", 8
	if err := s.Update(par); err != nil {
		t.Fatal(err)
	}
	after := other.hearAfter(s)
	if after.pt != 8 || !after.marker || after.ssrc != before.ssrc || after.seq-before.seq > 50 || int32(after.ts-before.ts) <= 0 {
		t.Errorf("before %+v, after %+v", before.header, after.header)
	}
}

// hearAfter plays one frame and hears it.
func (p *phone) hearAfter(s *Stream) packet {
	p.t.Helper()
	<-s.Play(constant(1, 500))
	return p.hear()
}

func TestNothingIsSentOnHold(t *testing.T) {
	s, p := wired(t, testClock(t), func(c *Config) { c.NoSilence = false }, func(p *Params) { p.SendEnabled = false })
	if err := <-s.Play(constant(5, 9000)); err != nil {
		t.Errorf("playing to nobody ended with %v", err)
	}
	if st := s.Stats(); st.PacketsSent != 0 {
		t.Errorf("stats %+v", st)
	}
	if err := s.Update(plainParams(p.addr())); err != nil {
		t.Fatal(err)
	}
	p.hear()
}

func TestKeysAreToldAtTheirFirstPacket(t *testing.T) {
	keys := make(chan byte, 16)
	s, p := wired(t, testClock(t), func(c *Config) { c.OnKey = func(k byte, _ time.Duration) { keys <- k } }, nil)
	p.key(101, 5, 1000, 160, false)
	if k := until(t, keys, "the key", always); k != '5' {
		t.Errorf("got %c", k)
	}
	p.key(101, 5, 1000, 640, true)
	p.key(101, 5, 1000, 640, true)
	p.key(101, 11, 3000, 640, true)
	if k := until(t, keys, "the second key", always); k != '#' {
		t.Errorf("got %c", k)
	}
	if st := s.Stats(); st.KeysReceived != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestKeysNobodyAgreedOnAreUnderstood(t *testing.T) {
	keys := make(chan byte, 16)
	s, p := wired(t, testClock(t), nil, func(p *Params) { p.DTMFPT = 0 })
	s.SetOnKey(func(k byte, _ time.Duration) { keys <- k })
	p.key(101, 3, 1000, 160, false)
	if k := until(t, keys, "the key", always); k != '3' {
		t.Errorf("got %c", k)
	}
}

func TestReportsTellLossAndRoundTrip(t *testing.T) {
	s, p := wired(t, testClock(t), nil, func(p *Params) { p.RTCPMux = true })
	p.say(1)
	p.seq += 2
	p.say(1)
	settled(t, s, 2)
	p.hearAfter(s)
	s.mu.Lock()
	s.nextReport = 0
	s.mu.Unlock()
	b := p.report()
	list, err := rtcp.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	sr, ok := list[0].(*rtcp.SenderReport)
	if !ok || len(sr.Reports) != 1 || sr.PacketCount == 0 {
		t.Fatalf("got %+v", list[0])
	}
	if r := sr.Reports[0]; r.SSRC != p.ssrc || r.TotalLost != 2 || r.FractionLost != 128 {
		t.Errorf("block %+v", r)
	}
	if sdes, ok := list[1].(*rtcp.SourceDescription); !ok || len(sdes.Chunks[0].Items[0].Text) < 16 {
		t.Errorf("got %+v", list[1])
	}
	const delay = 1 << 14 // a quarter of a second
	answer, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: p.ssrc, Reports: []rtcp.ReceptionReport{{
		SSRC: sr.SSRC, TotalLost: 7, Jitter: 80, LastSenderReport: uint32(sr.NTPTime>>16) - 1<<15, Delay: delay,
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.conn.WriteToUDPAddrPort(answer, p.to); err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(patience)
	for s.Stats().RTT == 0 {
		if time.Now().After(limit) {
			t.Fatal("no round trip")
		}
		p.hearAfter(s)
	}
	st := s.Stats()
	if st.RTT < 200*time.Millisecond || st.RTT > 2*time.Second || st.RemoteLost != 7 || st.RemoteJitter != 10*time.Millisecond {
		t.Errorf("stats %+v", st)
	}
	s.Close()
	if list, err = rtcp.Unmarshal(p.report()); err != nil {
		t.Fatal(err)
	}
	if _, ok := list[len(list)-1].(*rtcp.Goodbye); !ok {
		t.Errorf("no goodbye in %v", list)
	}
}

// report waits for RTCP on the phone's RTP socket.
func (p *phone) report() []byte {
	p.t.Helper()
	buf := make([]byte, 2048)
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		n, _, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			p.t.Fatal(err)
		}
		if isRTCP(buf[:n]) {
			return buf[:n]
		}
	}
}

func TestReportsHaveTheirOwnSocketUnlessShared(t *testing.T) {
	far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	s, p := wired(t, testClock(t), nil, func(p *Params) { p.RemoteRTCP = far.LocalAddr().(*net.UDPAddr).AddrPort() })
	p.say(1)
	settled(t, s, 1)
	s.mu.Lock()
	s.nextReport = 0
	s.mu.Unlock()
	buf := make([]byte, 1500)
	_ = far.SetReadDeadline(time.Now().Add(patience))
	n, from, err := far.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	if !isRTCP(buf[:n]) || from.Port() != s.LocalAddr().Port()+1 {
		t.Errorf("%x from %v", buf[:2], from)
	}
}

func TestSilenceOfThePeerIsToldOnce(t *testing.T) {
	told := make(chan struct{}, 8)
	s, p := wired(t, testClock(t), func(c *Config) {
		c.SilenceAfter = 40 * time.Millisecond
		c.OnSilence = func() { told <- struct{}{} }
	}, nil)
	until(t, told, "silence", always)
	<-s.Play(constant(4, 0))
	if len(told) != 0 {
		t.Error("told twice")
	}
	p.say(1)
	until(t, told, "silence again", always)
}

func TestEchoThroughAPipe(t *testing.T) {
	s, p := wired(t, testClock(t), nil, nil)
	pipe := NewPipe(5)
	s.SetSink(pipe.Write)
	done := s.Play(pipe)
	for range 3 {
		p.say(0x91)
	}
	for {
		if got := p.hear(); got.payload[0] == 0x91 {
			break
		}
	}
	s.SetSink(nil)
	pipe.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFullPipeDropsTheOldest(t *testing.T) {
	p := NewPipe(2)
	for i := range 4 {
		p.Write([]int16{int16(i + 1)})
	}
	var f [audio.FrameSamples]int16
	for _, want := range []int16{3, 4} {
		if n, err := p.ReadFrame(f[:]); n != audio.FrameSamples || err != nil || f[0] != want || f[1] != 0 {
			t.Errorf("got %d %v, first %d", n, err, f[0])
		}
	}
	if n, err := p.ReadFrame(f[:]); n != 0 || err != nil || p.Lost() != 2 {
		t.Errorf("empty: %d %v, lost %d", n, err, p.Lost())
	}
	p.Close()
	p.Write(f[:])
	if _, err := p.ReadFrame(f[:]); !errors.Is(err, io.EOF) {
		t.Errorf("closed: %v", err)
	}
}

func TestOpinionFollowsLossAndDelay(t *testing.T) {
	best := meanOpinion(0, 40*time.Millisecond)
	if best < 4.3 || best > 4.5 {
		t.Errorf("clean line: %v", best)
	}
	if lossy := meanOpinion(0.05, 40*time.Millisecond); lossy >= best || lossy < 3 {
		t.Errorf("5 %% lost: %v", lossy)
	}
	if slow := meanOpinion(0, 400*time.Millisecond); slow >= best || slow < 2.5 {
		t.Errorf("400 ms: %v", slow)
	}
	if dead := meanOpinion(1, time.Hour); dead < 1 || dead > 1.5 {
		t.Errorf("all lost: %v", dead)
	}
}

func TestShuffledAndDoubledPacketsAreHeardInOrder(t *testing.T) {
	const count, lost = 20, 11
	s, p := wired(t, testClock(t), nil, nil)
	ch, sink := frames(1024)
	s.SetSink(sink)
	random := rand.New(rand.NewPCG(7, 8))
	var order []int
	for at := 0; at < count; at += 3 {
		group := []int{at, at + 1, at + 2, at + random.IntN(3)} // one of them twice
		random.Shuffle(len(group), func(i, j int) { group[i], group[j] = group[j], group[i] })
		order = append(order, group...)
	}
	seq, ts := p.seq, p.ts
	for _, n := range order {
		if n < count && n != lost {
			p.write(header{seq: seq + uint16(n), ts: ts + uint32(n*audio.FrameSamples), ssrc: p.ssrc}, speechAt(n, audio.FrameSamples))
		}
	}
	for n := range count {
		if n == lost {
			continue
		}
		until(t, ch, "a frame", func(f []int16) bool {
			for later := n + 1; later < count; later++ {
				if f[0] == levelOf(later) {
					t.Fatalf("frame %d before frame %d", later, n)
				}
			}
			return f[0] == levelOf(n) && f[audio.FrameSamples-1] == f[0]
		})
	}
	if st := s.Stats(); st.Concealed == 0 {
		t.Errorf("the lost packet was not repaired: %+v", st)
	}
}
