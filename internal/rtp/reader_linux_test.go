package rtp

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// testPoller runs a poller for the length of a test.
func testPoller(t testing.TB) *Poller {
	t.Helper()
	p, err := NewPoller(2)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

type datagram struct {
	text string
	from netip.AddrPort
}

func TestReadersBringEveryDatagram(t *testing.T) {
	for name, reader := range map[string]Reader{"goroutines": Goroutines{}, "poller": testPoller(t)} {
		t.Run(name, func(t *testing.T) {
			for _, ip := range []string{"127.0.0.1", "::1"} {
				conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 0)))
				if err != nil {
					t.Logf("no %s here: %v", ip, err)
					continue
				}
				far, err := net.DialUDP("udp", nil, conn.LocalAddr().(*net.UDPAddr))
				if err != nil {
					t.Fatal(err)
				}
				got := make(chan datagram, 64)
				remove, err := reader.Add(conn, func(b []byte, from netip.AddrPort) { got <- datagram{string(b), from} })
				if err != nil {
					t.Fatal(err)
				}
				for i := range 20 {
					if _, err := far.Write([]byte{'a' + byte(i)}); err != nil {
						t.Fatal(err)
					}
				}
				for i := range 20 {
					d := until(t, got, "the datagram", always)
					if d.text != string(rune('a'+i)) || d.from != far.LocalAddr().(*net.UDPAddr).AddrPort() {
						t.Errorf("%d: got %+v", i, d)
					}
				}
				remove()
				if _, err := far.Write([]byte("late")); err != nil {
					t.Fatal(err)
				}
				_ = conn.Close()
				_ = far.Close()
				if len(got) > 0 {
					t.Error("received after the removal")
				}
			}
		})
	}
}

func TestPollerServesManyStreamsThatComeAndGo(t *testing.T) {
	p, c := testPoller(t), testClock(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				keys := make(chan byte, 4)
				s := openStream(t, c, func(cfg *Config) {
					cfg.Reader = p
					cfg.OnKey = func(k byte, _ time.Duration) { keys <- k }
				})
				phone := newPhone(t, s.LocalAddr())
				if err := s.Start(plainParams(phone.addr())); err != nil {
					t.Error(err)
					return
				}
				phone.key(101, 4, 1000, 160, false)
				until(t, keys, "the key", always)
				phone.hearAfter(s)
				s.Close()
			}
		})
	}
	all.Wait()
	for _, s := range p.shards {
		if len(s.sockets) != 0 {
			t.Errorf("%d sockets are left", len(s.sockets))
		}
	}
}

func BenchmarkReaderPoller(b *testing.B) { benchmarkReader(b, testPoller(b)) }
