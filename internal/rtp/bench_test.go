package rtp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// still is a Reader that reads nothing: benchmarks call receive themselves.
type still struct{}

func (still) Add(*net.UDPConn, Receive) (func(), error) { return func() {}, nil }

// drain is a socket that nobody reads; the kernel drops what it cannot hold.
func drain(b *testing.B) netip.AddrPort {
	b.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// stopped is a started stream that nothing drives.
func stopped(b *testing.B, codec string, pt uint8) *Stream {
	b.Helper()
	s := openStream(b, NewClock(), func(c *Config) { c.Reader = still{} })
	p := plainParams(drain(b))
	p.Codec, p.PT = codec, pt
	if err := s.Start(p); err != nil {
		b.Fatal(err)
	}
	return s
}

// feed calls receive with a numbered packet each time.
func feed(b *testing.B, s *Stream, pt uint8, after func(i int)) {
	b.Helper()
	from := s.Remote()
	template := make([]byte, headerSize+audio.FrameSamples)
	buf := make([]byte, len(template))
	header{pt: pt, ssrc: 7}.put(template)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		copy(buf, template)
		binary.BigEndian.PutUint16(buf[2:], uint16(i))
		binary.BigEndian.PutUint32(buf[4:], uint32(i*audio.FrameSamples))
		s.receive(buf, from)
		if after != nil {
			after(i)
		}
	}
}

func BenchmarkReceiveUnheard(b *testing.B) { feed(b, stopped(b, "PCMU", 0), 0, nil) }

func BenchmarkReceiveAndDecode(b *testing.B) {
	s := stopped(b, "PCMU", 0)
	p := s.params
	p.SendEnabled = false
	if err := s.Update(p); err != nil {
		b.Fatal(err)
	}
	s.SetSink(func([]int16) {})
	s.nextReport = time.Hour
	feed(b, s, 0, func(i int) { s.tick(time.Duration(i%1000) * time.Millisecond) })
}

// The two forwarding benchmarks include the kernel's sendto.
func BenchmarkForward(b *testing.B) {
	x, y := stopped(b, "PCMU", 0), stopped(b, "PCMU", 0)
	if _, err := Connect(x, y); err != nil {
		b.Fatal(err)
	}
	feed(b, x, 0, nil)
}

func BenchmarkForwardOtherLaw(b *testing.B) {
	x, y := stopped(b, "PCMU", 0), stopped(b, "PCMA", 8)
	if _, err := Connect(x, y); err != nil {
		b.Fatal(err)
	}
	feed(b, x, 0, nil)
}

// One operation is one packet of one of 100 streams, with its sendto.
func BenchmarkPlay100(b *testing.B) {
	streams := make([]*Stream, 100)
	for i := range streams {
		streams[i] = stopped(b, "PCMU", 0)
		streams[i].nextReport = 1000 * time.Hour
		streams[i].Play(audio.Silence(-1))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		streams[i%100].tick(time.Duration(i/100) * audio.FrameDuration)
	}
}

// One operation is a datagram from a socket through the reader to another
// socket: what a bridge costs in all.
func benchmarkReader(b *testing.B, reader Reader) {
	const pairs = 50
	conns := make([]*net.UDPConn, pairs)
	senders := make([]*net.UDPConn, pairs)
	var seen sync.WaitGroup
	for i := range pairs {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		conns[i] = conn
		to := conn.LocalAddr().(*net.UDPAddr)
		if senders[i], err = net.DialUDP("udp4", nil, to); err != nil {
			b.Fatal(err)
		}
		remove, err := reader.Add(conn, func([]byte, netip.AddrPort) { seen.Done() })
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { remove(); _ = conn.Close(); _ = senders[i].Close() })
	}
	msg := make([]byte, headerSize+audio.FrameSamples)
	b.ReportAllocs()
	for b.Loop() {
		seen.Add(pairs)
		for _, c := range senders {
			if _, err := c.Write(msg); err != nil {
				b.Fatal(err)
			}
		}
		seen.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pairs, "ns/packet")
}

func BenchmarkReaderGoroutines(b *testing.B) { benchmarkReader(b, Goroutines{}) }

// lateness gathers how late the ticks of a running clock are.
type lateness struct {
	clock *Clock
	left  int
	times []time.Duration
	done  chan struct{}
}

func (l *lateness) kick(time.Duration) {}

func (l *lateness) tick(at time.Duration) {
	if l.left == 0 {
		return
	}
	l.times = append(l.times, l.clock.Now()-at)
	if l.left--; l.left == 0 {
		close(l.done)
	}
}

// How precisely packets leave: the figures depend on the machine and its load.
func BenchmarkClockLateness(b *testing.B) {
	c := testClock(b)
	var times []time.Duration
	for b.Loop() {
		l := &lateness{clock: c, left: 100, done: make(chan struct{})}
		m := c.join(l)
		<-l.done
		m.leave()
		times = append(times, l.times...)
	}
	slices.Sort(times)
	at := func(share int) float64 { return float64(times[len(times)*share/100].Microseconds()) }
	b.ReportMetric(at(50), "p50-µs")
	b.ReportMetric(at(99), "p99-µs")
}
