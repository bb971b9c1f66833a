package stream_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opentact/opentact/internal/db/dbtest"
)

// raw is a websocket written out by hand, so that it can say what no library would.
type raw struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

const upgrade = "GET %s HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func (h *house) connect() *raw {
	h.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.srv.URL, "http://"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		h.t.Fatal(err)
	}
	return &raw{h.t, conn, bufio.NewReaderSize(conn, 512)}
}

// raw opens a websocket; early goes out with the handshake, before its answer.
func (h *house) raw(path string, early []byte) *raw {
	h.t.Helper()
	r := h.connect()
	r.write(append(fmt.Appendf(nil, upgrade, path), early...))
	res, err := http.ReadResponse(r.in, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 §1.3
		h.t.Fatal(res, err)
	}
	return r
}

func (h *house) rawSignedIn(token string) *raw {
	h.t.Helper()
	r := h.raw("/?jwt="+token, nil)
	if m := r.text(); m["type"] != "auth" || m["success"] != true {
		h.t.Fatal(m)
	}
	return r
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// masked makes a client's frame with the shortest length; the first byte is flags and opcode.
func masked(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

func joined(frames ...[]byte) []byte {
	var out []byte
	for _, f := range frames {
		out = append(out, f...)
	}
	return out
}

// frame reads the server's next frame.
func (r *raw) frame() (op byte, payload []byte, err error) {
	var h [10]byte
	if _, err := io.ReadFull(r.in, h[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r.in, h[2:4])
		n = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		_, err = io.ReadFull(r.in, h[2:])
		n = binary.BigEndian.Uint64(h[2:])
	}
	if err == nil && (h[0]&0x70 != 0 || h[1]&0x80 != 0 || n > 1<<24) {
		err = fmt.Errorf("frame of the server begins with % x", h)
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r.in, payload)
	return h[0] & 0x0f, payload, err
}

// text reads the next text frame and passes over pings.
func (r *raw) text() map[string]any {
	r.t.Helper()
	for {
		op, payload, err := r.frame()
		if err != nil {
			r.t.Fatal(err)
		}
		if op == 9 {
			continue
		}
		var m map[string]any
		if op != 1 || json.Unmarshal(payload, &m) != nil {
			r.t.Fatalf("opcode %d: %.200q", op, payload)
		}
		return m
	}
}

// ended reads up to the close frame and the end of the connection behind it.
func (r *raw) ended(code int) (reason string) {
	r.t.Helper()
	for {
		op, payload, err := r.frame()
		if err != nil {
			r.t.Fatalf("no close frame: %v", err)
		}
		if op != 8 {
			continue
		}
		if code == 0 && len(payload) == 0 {
			return ""
		}
		if len(payload) < 2 || int(binary.BigEndian.Uint16(payload)) != code {
			r.t.Fatalf("closed with %q, want %d", payload, code)
		}
		reason = string(payload[2:])
		break
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		r.t.Fatalf("after the close frame: %v", err)
	}
	return reason
}

// TestFramesThatEndTheirSocketOnly: RFC 6455 §5 to §8 and the gate's own codes; the other sockets of the user go on.
func TestFramesThatEndTheirSocketOnly(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	good := h.signIn("a-u")
	good.send(`{"type":"subscribe","payload":{"types":["sms"]}}`)
	good.next()
	long := strings.Repeat("x", 64<<10)
	for name, c := range map[string]struct {
		in   []byte
		code int
	}{
		"text that is no UTF-8, §8.1":                {masked(0x81, "{\"type\":\"\xff\"}"), 1007},
		"no UTF-8, in the second fragment":           {joined(masked(0x01, `{"type":`), masked(0x00, "\"\xed\xa0\x80")), 1007},
		"a character that a fragment leaves open":    {joined(masked(0x01, "{\"type\":\"\xe2\x82"), masked(0x80, `"}`)), 1007},
		"reserved bit 1, §5.2":                       {masked(0xc1, "{}"), 1002},
		"reserved bit 2":                             {masked(0xa1, "{}"), 1002},
		"reserved bit 3":                             {masked(0x91, "{}"), 1002},
		"reserved data opcode, §5.2":                 {masked(0x83, "{}"), 1002},
		"reserved control opcode":                    {masked(0x8b, ""), 1002},
		"unmasked frame, §5.1":                       {[]byte{0x81, 0x02, '{', '}'}, 1002},
		"ping of 126 bytes, §5.5":                    {masked(0x89, long[:126]), 1002},
		"fragmented ping, §5.5":                      {masked(0x09, "p"), 1002},
		"continuation of nothing, §5.4":              {masked(0x80, "{}"), 1002},
		"message inside a message, §5.4":             {joined(masked(0x01, "{"), masked(0x81, "{}")), 1002},
		"length of 2 in 16 bits, §5.2":               {[]byte{0x81, 0x80 | 126, 0, 2, 0, 0, 0, 0, '{', '}'}, 1002},
		"length of 2 in 64 bits":                     {[]byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, '{', '}'}, 1002},
		"length with the highest bit":                {[]byte{0x81, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0}, 1002},
		"close without a code, §5.5.1":               {masked(0x88, ""), 0},
		"close 1000 with a reason":                   {masked(0x88, "\x03\xe8bye"), 1000},
		"close 4999 is an application's, §7.4.2":     {masked(0x88, "\x13\x87"), 4999},
		"close with one byte":                        {masked(0x88, "\x03"), 1002},
		"close 1005 may not be sent, §7.4.1":         {masked(0x88, "\x03\xed"), 1002},
		"close 2000 is nobody's":                     {masked(0x88, "\x07\xd0"), 1002},
		"close with a reason that is no UTF-8":       {masked(0x88, "\x03\xe8\xff"), 1007},
		"frame of more than 64 KiB":                  {masked(0x81, long+"x"), 4400},
		"fragments of more than 64 KiB":              {joined(masked(0x01, long), masked(0x80, "x")), 4400},
		"announced frame of exabytes":                {[]byte{0x81, 0x80 | 127, 0x7f, 0, 0, 0, 0, 0, 0, 0}, 4400},
		"binary frame":                               {masked(0x82, "{}"), 4400},
		"array":                                      {masked(0x81, "[1]"), 4400},
		"half an object":                             {masked(0x81, `{"type":`), 4400},
		"empty text":                                 {masked(0x81, ""), 4400},
		"control frames between fragments, then end": {joined(masked(0x01, `{"type"`), masked(0x89, "p"), masked(0x00, `:`), masked(0x8a, ""), masked(0x80, `1`)), 4400},
	} {
		t.Run(name, func(t *testing.T) {
			for _, signedIn := range []bool{true, false} {
				r := h.raw("/", c.in)
				if signedIn {
					_ = r.conn.Close()
					r = h.rawSignedIn("b-u")
					r.write(c.in)
				}
				r.t = t
				r.ended(c.code)
			}
		})
	}
	h.emit("a", "sms", 7)
	if m := good.next(); m["payload"] != 7.0 {
		t.Fatal(m)
	}
}

func TestWholeMessagesHoweverTheyAreCut(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	auth := `{"type":"auth","payload":"b-u"}`
	r := h.raw("/", joined(masked(0x89, "early"), masked(0x01, auth[:9]), masked(0x89, "between"), masked(0x80, auth[9:])))
	for _, want := range []string{"early", "between"} { // of pings that wait together the last is answered, §5.5.3
		op, payload, err := r.frame()
		if err != nil || op != 10 || string(payload) != want && string(payload) != "between" {
			t.Fatal(op, string(payload), err)
		}
		if string(payload) == "between" {
			break
		}
	}
	if m := r.text(); m["type"] != "auth" || m["success"] != true {
		t.Fatal(m)
	}
	r.write(joined(masked(0x01, "{\"type\":\"\xe2\x82"), masked(0x00, ""), masked(0x80, "\xac\"}")))
	if m := r.text(); m["message"] != "Unknown frame" || m["status"] != 400.0 {
		t.Fatal(m)
	}
	for _, b := range masked(0x81, `{"type":"ping"}`) { // a byte at a time
		r.write([]byte{b})
	}
	if m := r.text(); m["type"] != "pong" {
		t.Fatal(m)
	}
	r.write(masked(0x81, `{"type":"`+strings.Repeat("x", 64<<10-11)+`"}`)) // the longest
	if m := r.text(); m["message"] != "Unknown frame" {
		t.Fatal(m)
	}
	r.write(masked(0x8a, "nobody asked")) // a pong of its own, §5.5.3
	r.write(masked(0x88, "\x0f\xa0so long"))
	r.ended(4000)
}

func TestHandshakesThatAreNone(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	for name, c := range map[string]struct {
		from, to string
		status   int
	}{
		"another version, RFC 6455 §4.4": {"Version: 13", "Version: 8", 426},
		"no version":                     {"Sec-WebSocket-Version: 13\r\n", "", 426},
		"connection does not upgrade":    {"keep-alive, Upgrade", "keep-alive", 426},
		"short key, §4.2.1":              {"dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 400},
		"key that is no base64":          {"dGhlIHNhbXBsZSBub25jZQ==", "!!!", 400},
		"no key":                         {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400},
		"POST":                           {"GET", "POST", 405},
		"another protocol":               {"WebSocket\r\n", "h2c\r\n", 404},
		"no upgrade":                     {"Upgrade: WebSocket\r\n", "", 404},
	} {
		r := h.connect()
		r.write([]byte(strings.Replace(fmt.Sprintf(upgrade, "/"), c.from, c.to, 1)))
		res, err := http.ReadResponse(r.in, nil)
		if err != nil || res.StatusCode != c.status {
			t.Errorf("%s: %v, %v", name, res, err)
			continue
		}
		if c.status == 426 && res.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
}

// TestAnyOriginMayConnect: no cookies are used, so a page of another site gains nothing.
func TestAnyOriginMayConnect(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	for _, origin := range []string{"https://elsewhere.example", "null", "not a url at all"} {
		if m := h.dial("/?jwt=a-u", http.Header{"Origin": {origin}}).next(); m["success"] != true {
			t.Error(origin, m)
		}
	}
}

// TestOverTLS: the same, with a connection that has no system call for many frames at once.
func TestOverTLS(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	srv := httptest.NewTLSServer(h.srv.Config.Handler)
	t.Cleanup(srv.Close)
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(srv.URL, "http", "ws", 1)+"/?jwt=a-u", &websocket.DialOptions{HTTPClient: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t, conn}
	c.next()
	c.send(`{"type":"subscribe","payload":{"types":["sms"]}}`)
	c.next()
	for i := range 50 {
		h.emit("a", "sms", i)
	}
	for i := range 50 {
		if m := c.next(); m["payload"] != float64(i) {
			t.Fatal(m)
		}
	}
	c.send("nonsense")
	c.closed(4400)
}
