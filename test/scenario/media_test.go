package scenario

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/test/scenario/house"
)

// earpiece is the sound of a call whose signalling is SIPp's: a UDP port that keeps the RTP it gets and answers to where that came from.
// Its packets are put together here after RFC 3550 §5.1 and RFC 4733 §2.3, not by the server's own code.
type earpiece struct {
	conn *net.UDPConn
	done chan struct{}

	mu    sync.Mutex
	peer  *net.UDPAddr
	first time.Time
	heard []int16
	news  chan struct{}
	lost  int
	last  uint16

	seq  uint16
	time uint32
}

func newEarpiece() (*earpiece, error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	e := &earpiece{conn: conn, done: make(chan struct{}), news: make(chan struct{})}
	go e.listen()
	return e, nil
}

func (e *earpiece) port() int { return e.conn.LocalAddr().(*net.UDPAddr).Port }

func (e *earpiece) close() {
	_ = e.conn.Close()
	<-e.done
}

func (e *earpiece) listen() {
	defer close(e.done)
	buf := make([]byte, 2048)
	for {
		n, from, err := e.conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		if n < 12 || buf[0]>>6 != 2 || buf[1]&0x7f != 0 { // version 2, payload type 0 (PCMU)
			continue
		}
		seq := binary.BigEndian.Uint16(buf[2:])
		samples := make([]int16, n-12)
		audio.DecodeLaw(audio.ULaw, samples, buf[12:n])
		e.mu.Lock()
		if e.peer == nil {
			e.peer, e.first = from, time.Now()
		} else if seq != e.last+1 {
			e.lost++
		}
		e.last = seq
		e.heard = append(e.heard, samples...)
		close(e.news)
		e.news = make(chan struct{})
		e.mu.Unlock()
	}
}

// await waits until cond holds of what was heard.
func (e *earpiece) await(ctx context.Context, cond func(heard []int16) bool) error {
	for {
		e.mu.Lock()
		ok, news, n := cond(e.heard), e.news, len(e.heard)
		e.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("in vain, after %v of sound", audio.Duration(n))
		}
	}
}

// packet sends one RTP packet.
func (e *earpiece) packet(marker bool, payloadType byte, stamp uint32, payload []byte) error {
	b := make([]byte, 12, 12+len(payload))
	b[0], b[1] = 0x80, payloadType
	if marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], e.seq)
	binary.BigEndian.PutUint32(b[4:], stamp)
	binary.BigEndian.PutUint32(b[8:], 0x5eed5eed)
	e.seq++
	e.mu.Lock()
	peer := e.peer
	e.mu.Unlock()
	_, err := e.conn.WriteToUDP(append(b, payload...), peer)
	return err
}

// press sends a key as a telephone event (RFC 4733 §2.5.1): every 20 ms with a growing duration, the end three times. It gives the time of the last packet.
func (e *earpiece) press(tick *time.Ticker, event byte) (time.Time, error) {
	stamp := e.time
	for i := range 8 {
		end, length := byte(0), uint16(160*(i+1))
		if i >= 5 {
			end, length = 0x80, 160*6
		}
		if err := e.packet(i == 0, 101, stamp, []byte{event, end | 10, byte(length >> 8), byte(length)}); err != nil {
			return time.Time{}, err
		}
		if i < 5 { // the repeated ends follow at once
			<-tick.C
		}
	}
	e.time += 160 * 6
	return time.Now(), nil
}

// sing sends a tone in frames of 20 ms.
func (e *earpiece) sing(tick *time.Ticker, hz float64, d time.Duration) error {
	n := 0
	for range int(d / audio.FrameDuration) {
		frame, coded := make([]int16, audio.FrameSamples), make([]byte, audio.FrameSamples)
		for j := range frame {
			frame[j] = int16(8000 * math.Sin(2*math.Pi*hz*float64(n)/audio.Rate))
			n++
		}
		audio.EncodeLaw(audio.ULaw, coded, frame)
		if err := e.packet(n == audio.FrameSamples, 0, e.time, coded); err != nil {
			return err
		}
		e.time += audio.FrameSamples
		<-tick.C
	}
	return nil
}

func toneHeard(hz float64) func([]int16) bool {
	return func(heard []int16) bool {
		got, err := measure(heard[max(0, len(heard)-4*window):], fmt.Sprintf("tone:%g", hz))
		return err == nil && got > 0.9
	}
}

// TestSIPpTalksAndPressesKeys: SIPp places the call, hears a tone, presses a key that takes a branch, is recorded, and is hung up on.
func TestSIPpTalksAndPressesKeys(t *testing.T) {
	onBoth(t, "media", func(t *testing.T, db string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		flow := `<Response><Answer/><Gather dtmf_length="1" timeout="10000"><Tone hz="440" don="10000" doff="0" timeout="10000"/>` +
			`<DTMF value="5"><Tone hz="880" don="1000" doff="0" timeout="1000"/><Record timeout="1500" tag="sung"/></DTMF></Gather><Hangup/></Response>`
		s, c, number := begin(t, db, flow)
		ear, err := newEarpiece()
		if err != nil {
			t.Fatal(err)
		}
		defer ear.close()
		signalling := make(chan error, 1)
		go func() {
			_, err := house.SIPp{Scenario: "media.xml", Server: s.SIP, Number: number, Calls: 1, Rate: 1, Keys: []string{"-key", "rtp_port", fmt.Sprint(ear.port())}}.Run(ctx)
			signalling <- err
		}()
		if err := ear.await(ctx, toneHeard(440)); err != nil {
			t.Fatalf("the prompt: %v; SIPp: %v", err, <-signalling)
		}
		tick := time.NewTicker(audio.FrameDuration)
		defer tick.Stop()
		if err := ear.sing(tick, 600, 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if _, err := ear.press(tick, 5); err != nil {
			t.Fatal(err)
		}
		if err := ear.await(ctx, toneHeard(880)); err != nil {
			t.Fatalf("the branch: %v", err)
		}
		if err := ear.sing(tick, 600, 4*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := <-signalling; err != nil {
			t.Fatal(err)
		}
		checkSung(ctx, t, c)
	})
}

// checkSung listens to the recording.
func checkSung(ctx context.Context, t *testing.T, c *house.Client) {
	t.Helper()
	conds, err := house.Conditions("payload.total = 1 && payload.data[0].records[0].state = available")
	if err != nil {
		t.Fatal(err)
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	a, err := c.Await(wait, "POST", "/rest/call/search", []byte(`{"state": "destroyed"}`), conds)
	if err != nil {
		t.Fatal(err)
	}
	id := house.Doc{Value: a.Doc}.Str("payload.data[0].records[0].uuid")
	p := &player{}
	if p.answer, err = c.Request(ctx, "GET", "/rest/record/"+id+".wav", nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"seconds > 1", "seconds < 2.5", "tone:600 > 0.9", "loudest > -20"} {
		if err := p.sound(ctx, want); err != nil {
			t.Error(err)
		}
	}
}
