package rtp

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/audio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second // how long a test waits for what must come

var loopback = netip.MustParseAddr("127.0.0.1")

// testClock runs a clock for the length of a test.
func testClock(t testing.TB) *Clock {
	t.Helper()
	c := NewClock()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return c
}

func openStream(t testing.TB, c *Clock, change func(*Config)) *Stream {
	t.Helper()
	ports, err := NewPorts(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Ports: ports, Clock: c, LocalIP: loopback, Rand: rand.NewPCG(1, 2), NoSilence: true}
	if change != nil {
		change(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// phone is the far side: a socket that says exactly what a test wants.
type phone struct {
	t    testing.TB
	conn *net.UDPConn
	to   netip.AddrPort
	seq  uint16
	ts   uint32
	ssrc uint32
	pt   uint8
}

func newPhone(t testing.TB, to netip.AddrPort) *phone {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &phone{t: t, conn: conn, to: to, seq: 65530, ts: 0xffffff00, ssrc: 0x1234}
}

func (p *phone) addr() netip.AddrPort { return p.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (p *phone) write(h header, payload []byte) {
	p.t.Helper()
	b := make([]byte, headerSize+len(payload))
	h.put(b)
	copy(b[headerSize:], payload)
	if _, err := p.conn.WriteToUDPAddrPort(b, p.to); err != nil {
		p.t.Fatal(err)
	}
}

// say sends one 20 ms packet filled with b.
func (p *phone) say(b byte) {
	p.t.Helper()
	payload := make([]byte, audio.FrameSamples)
	for i := range payload {
		payload[i] = b
	}
	p.write(header{pt: p.pt, seq: p.seq, ts: p.ts, ssrc: p.ssrc}, payload)
	p.seq++
	p.ts += audio.FrameSamples
}

// key sends one packet of a key that began at ts.
func (p *phone) key(pt, event uint8, ts uint32, units uint16, ended bool) {
	p.t.Helper()
	payload := []byte{event, keyVolume, 0, 0}
	if ended {
		payload[1] |= 0x80
	}
	binary.BigEndian.PutUint16(payload[2:], units)
	p.write(header{pt: pt, seq: p.seq, ts: ts, ssrc: p.ssrc}, payload)
	p.seq++
}

type packet struct {
	header
	payload []byte
	from    netip.AddrPort
	at      time.Time
}

// hear waits for the next RTP packet.
func (p *phone) hear() packet {
	p.t.Helper()
	got, ok := p.tryHear(patience)
	if !ok {
		p.t.Fatal("no packet came")
	}
	return got
}

func (p *phone) tryHear(wait time.Duration) (packet, bool) {
	p.t.Helper()
	buf := make([]byte, 2048)
	_ = p.conn.SetReadDeadline(time.Now().Add(wait))
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if os.IsTimeout(err) {
			return packet{}, false
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if isRTCP(buf[:n]) {
			continue
		}
		h, start, end, ok := parse(buf[:n])
		if !ok {
			p.t.Fatalf("not RTP: %x", buf[:n])
		}
		return packet{header: h, payload: buf[start:end], from: from, at: time.Now()}, true
	}
}

// law is G.711 both ways with keys on 101.
func plainParams(remote netip.AddrPort) Params {
	return Params{Remote: remote, Codec: "PCMU", PT: 0, DTMFPT: 101, SendEnabled: true, RecvEnabled: true, Latch: true}
}

// wired opens a stream that talks to a phone.
func wired(t testing.TB, c *Clock, change func(*Config), params func(*Params)) (*Stream, *phone) {
	t.Helper()
	s := openStream(t, c, change)
	p := newPhone(t, s.LocalAddr())
	par := plainParams(p.addr())
	if params != nil {
		params(&par)
	}
	p.pt = par.PT
	if err := s.Start(par); err != nil {
		t.Fatal(err)
	}
	return s, p
}

// until reads what a channel gives until want is true of it.
func until[T any](t testing.TB, ch <-chan T, what string, want func(T) bool) T {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case v := <-ch:
			if want(v) {
				return v
			}
		case <-limit:
			t.Fatalf("%s never came", what)
		}
	}
}

func always[T any](T) bool { return true }

// frames passes copies of frames on; when nobody reads the newest is dropped.
func frames(n int) (chan []int16, func([]int16)) {
	ch := make(chan []int16, n)
	return ch, func(f []int16) {
		select {
		case ch <- append([]int16(nil), f...):
		default:
		}
	}
}

// level is the sample that all of a constant payload decodes to.
func level(law audio.Law, b byte) int16 {
	var out [1]int16
	audio.DecodeLaw(law, out[:], []byte{b})
	return out[0]
}
