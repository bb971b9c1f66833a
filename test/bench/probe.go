package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/ident"
)

// probe is a telephone written out by hand, so that its clock stands at the wire: it places one call after the other, hears and presses keys.
type probe struct {
	sip, rtp *net.UDPConn
	number   string
}

// probeLimit is the longest that one step of a probe's call may take.
const probeLimit = 5 * time.Second

func newProbe(server, number string) (*probe, error) {
	to, err := net.ResolveUDPAddr("udp4", server)
	if err != nil {
		return nil, err
	}
	p := &probe{number: number}
	if p.sip, err = net.DialUDP("udp4", nil, to); err != nil {
		return nil, err
	}
	p.rtp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	return p, err
}

func (p *probe) close() {
	_ = p.sip.Close()
	_ = p.rtp.Close()
}

// call places a call, waits for the first sound, presses 5 and waits for the BYE. It gives how long the sound came after the ACK, and the BYE after
// the last packet of the key.
func (p *probe) call() (sound, key time.Duration, err error) {
	us, id, tag := p.sip.LocalAddr().String(), ident.Secret(16), ident.Secret(8)
	head := func(method, uri, to string, seq int) string {
		return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: <sip:+13125550144@%s>;tag=%s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n", method, uri, us, ident.Secret(12), us, tag, to, id, seq, method)
	}
	uri := "sip:+" + p.number + "@" + p.sip.RemoteAddr().String()
	sdp := fmt.Sprintf("v=0\r\no=p 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n", p.rtp.LocalAddr().(*net.UDPAddr).Port)
	invite := head("INVITE", uri, "<"+uri+">", 1) + fmt.Sprintf("Contact: <sip:p@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", us, len(sdp), sdp)
	if _, err = p.sip.Write([]byte(invite)); err != nil {
		return 0, 0, err
	}
	ok, err := p.await(func(m string) bool { return strings.HasPrefix(m, "SIP/2.0 2") && strings.Contains(m, id) })
	if err != nil {
		return 0, 0, err
	}
	target := strings.Trim(strings.TrimSpace(header(ok, "Contact")), "<>")
	if _, err = p.sip.Write([]byte(head("ACK", target, header(ok, "To"), 1) + "Content-Length: 0\r\n\r\n")); err != nil {
		return 0, 0, err
	}
	acked := time.Now()
	peer, err := p.firstSound()
	if err != nil {
		return 0, 0, err
	}
	sound = time.Since(acked)
	pressed, err := p.press(peer)
	if err != nil {
		return 0, 0, err
	}
	bye, err := p.await(func(m string) bool { return strings.HasPrefix(m, "BYE ") && strings.Contains(m, id) })
	if err != nil {
		return 0, 0, fmt.Errorf("after the key: %w", err)
	}
	key = time.Since(pressed)
	answer := "SIP/2.0 200 OK\r\n"
	for _, h := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		answer += h + ": " + header(bye, h) + "\r\n"
	}
	_, err = p.sip.Write([]byte(answer + "Content-Length: 0\r\n\r\n"))
	return sound, key, err
}

// await reads SIP until a message fits.
func (p *probe) await(fits func(string) bool) (string, error) {
	buf := make([]byte, 64<<10)
	if err := p.sip.SetReadDeadline(time.Now().Add(probeLimit)); err != nil {
		return "", err
	}
	for last := ""; ; {
		n, err := p.sip.Read(buf)
		if err != nil {
			return "", fmt.Errorf("%w; the last message was %.60q", err, last)
		}
		if last = string(buf[:n]); fits(last) {
			return last, nil
		}
	}
}

func header(message, name string) string {
	for line := range strings.SplitSeq(message, "\r\n") {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// firstSound waits for the first packet that is louder than silence and gives where it came from.
func (p *probe) firstSound() (*net.UDPAddr, error) {
	buf := make([]byte, 2048)
	if err := p.rtp.SetReadDeadline(time.Now().Add(probeLimit)); err != nil {
		return nil, err
	}
	samples := make([]int16, len(buf))
	for {
		n, from, err := p.rtp.ReadFromUDP(buf)
		if err != nil {
			return nil, fmt.Errorf("no sound: %w", err)
		}
		if n <= 12 || buf[1]&0x7f != 0 {
			continue
		}
		if k := audio.DecodeLaw(audio.ULaw, samples, buf[12:n]); audio.Level(samples[:k]) > audio.DefaultSilence {
			return from, nil
		}
	}
}

// press sends the key 5 (RFC 4733 §2.5.1) and gives the time of its last packet.
func (p *probe) press(to *net.UDPAddr) (time.Time, error) {
	tick := time.NewTicker(audio.FrameDuration)
	defer tick.Stop()
	packet := make([]byte, 16)
	packet[0] = 0x80
	binary.BigEndian.PutUint32(packet[4:], 8000)
	binary.BigEndian.PutUint32(packet[8:], 0xbe4c4)
	for i := range 8 {
		packet[1], packet[12], packet[13] = 101, 5, 10
		if i == 0 {
			packet[1] |= 0x80
		}
		if i >= 5 {
			packet[13] |= 0x80
		}
		binary.BigEndian.PutUint16(packet[2:], uint16(i+1))
		binary.BigEndian.PutUint16(packet[14:], uint16(160*min(i+1, 6)))
		if _, err := p.rtp.WriteToUDP(packet, to); err != nil {
			return time.Time{}, err
		}
		if i < 5 {
			<-tick.C
		}
	}

	return time.Now(), nil
}
