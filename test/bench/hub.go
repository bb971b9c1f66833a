package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// hub is one UDP port that is the far end of many streams of G.711, told apart by where they come from. It measures how evenly packets
// arrive, and says silence back to each stream every 20 ms.
type hub struct {
	conn *net.UDPConn
	done sync.WaitGroup
	stop chan struct{}

	mu      sync.Mutex
	streams map[netip.AddrPort]*flow
	order   []netip.AddrPort
	packets int64
	uneven  []time.Duration // distance of each gap between packets from 20 ms, while measuring
	measure bool
}

// flow is one stream.
type flow struct {
	last time.Time
	seq  uint16
	time uint32
}

func newHub() (*hub, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		return nil, err
	}
	h := &hub{conn: conn, stop: make(chan struct{}), streams: map[netip.AddrPort]*flow{}}
	h.done.Go(h.listen)
	h.done.Go(h.talk)
	return h, nil
}

func (h *hub) port() int { return h.conn.LocalAddr().(*net.UDPAddr).Port }

func (h *hub) close() {
	close(h.stop)
	_ = h.conn.Close() // ends listen
	h.done.Wait()
}

func (h *hub) listen() {
	buf := make([]byte, 2048)
	for {
		n, from, err := h.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n < 12 || buf[0]>>6 != 2 {
			continue
		}
		now := time.Now()
		h.mu.Lock()
		f := h.streams[from]
		if f == nil {
			f = &flow{}
			h.streams[from] = f
			h.order = append(h.order, from)
		} else if h.measure {
			h.uneven = append(h.uneven, (now.Sub(f.last) - audio.FrameDuration).Abs())
		}
		f.last = now
		h.packets++
		h.mu.Unlock()
	}
}

// talk sends a frame to every stream in 20 ms, a quarter of them each 5 ms.
func (h *hub) talk() {
	const parts = 4
	tick := time.NewTicker(audio.FrameDuration / parts)
	defer tick.Stop()
	packet := make([]byte, 12+audio.FrameSamples)
	for i := range packet[12:] {
		packet[12+i] = audio.ULaw.SilenceByte()
	}
	packet[0] = 0x80 // version 2, payload type 0
	for turn := 0; ; turn = (turn + 1) % parts {
		select {
		case <-tick.C:
		case <-h.stop:
			return
		}
		h.mu.Lock()
		for i := turn; i < len(h.order); i += parts {
			f := h.streams[h.order[i]]
			f.seq++
			f.time += audio.FrameSamples
			binary.BigEndian.PutUint16(packet[2:], f.seq)
			binary.BigEndian.PutUint32(packet[4:], f.time)
			binary.BigEndian.PutUint32(packet[8:], uint32(i+1))
			if _, err := h.conn.WriteToUDPAddrPort(packet, h.order[i]); err != nil {
				break // closed; the stop is on its way
			}
		}
		h.mu.Unlock()
	}
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

// begin starts the measuring, end gives how uneven the packets came and how many there were since.
func (h *hub) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.measure, h.uneven, h.packets = true, nil, 0
}

func (h *hub) end() ([]time.Duration, int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.measure = false
	return h.uneven, h.packets
}
