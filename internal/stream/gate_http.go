package stream

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/stream/frame"
)

// readers may open a socket: whoever may read the log by REST (rest-conventions §3.4, §3.6).
var readers = httpapi.Rule{Auth: httpapi.User, Scope: "events:read"}

// Mount serves the websocket at the root path and at /ws. Any origin may connect: no cookies are used.
func (g *Gate) Mount(a *httpapi.API) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, a) })
	a.Mount("/{$}", h)
	a.Mount("/ws", h)
}

// serve takes the upgrade and hands the connection to a goroutine of its own: that of the request holds buffers and a stack that an idle socket does not need.
func (g *Gate) serve(w http.ResponseWriter, r *http.Request, a *httpapi.API) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		a.Fail(w, r, fault.New(fault.NotFound))
		return
	}
	c := caller{api: a, ip: httpapi.RemoteIP(r.Context())}
	// The credential of the handshake is checked before the upgrade takes the request's writer away.
	if _, c.given = httpapi.FindCredentials(r); c.given {
		c.id, c.err = a.Identify(r, readers)
	}
	conn, in, ok := g.upgrade(w, r, a)
	if !ok {
		return
	}
	s := &socket{gate: g, conn: conn, in: frame.NewReader(in, maxFrame), id: ident.New(), ip: c.ip}
	if !g.enter(s) {
		_ = conn.SetWriteDeadline(time.Now().Add(closeWait))
		_, _ = conn.Write(frame.AppendClose(nil, closeRestart, "server restarts")) // the client may be gone
		_ = conn.Close()
		return
	}
	go func() {
		err := s.greet(c)
		go s.live(err) // on a fresh stack
	}()
}

// upgrade answers the opening handshake (RFC 6455 §4.2).
func (g *Gate) upgrade(w http.ResponseWriter, r *http.Request, a *httpapi.API) (conn net.Conn, in io.Reader, ok bool) {
	key := strings.TrimSpace(r.Header.Get("Sec-WebSocket-Key"))
	nonce, err := base64.StdEncoding.DecodeString(key)
	switch {
	case r.Method != http.MethodGet:
		a.Fail(w, r, fault.New(fault.MethodNotAllowed))
		return nil, nil, false
	case !r.ProtoAtLeast(1, 1) || !asksUpgrade(r) || r.Header.Get("Sec-WebSocket-Version") != "13":
		w.Header().Set("Sec-WebSocket-Version", "13") // RFC 6455 §4.4
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "websocket of version 13 only", http.StatusUpgradeRequired)
		return nil, nil, false
	case err != nil || len(nonce) != 16 || len(r.Header.Values("Sec-WebSocket-Key")) != 1:
		a.Fail(w, r, fault.Invalid("Sec-WebSocket-Key", "want 16 bytes in base64", key))
		return nil, nil, false
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		g.log.Warn("websocket upgrade", "error", err)
		return nil, nil, false
	}
	in = conn
	if n := buffered.Reader.Buffered(); n > 0 { // frames that came with the handshake
		early, _ := buffered.Peek(n)
		in = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
	}
	tcp := conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		tcp = secure.NetConn()
	}
	if c, ok := tcp.(interface{ SetWriteBuffer(int) error }); ok {
		_ = c.SetWriteBuffer(kernelBuffer) // a connection that is gone shows at the first read
	}
	return conn, in, true
}

func asksUpgrade(r *http.Request) bool {
	for _, line := range r.Header.Values("Connection") {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return true
			}
		}
	}
	return false
}

// caller is who asks for a socket, as far as the handshake told.
type caller struct {
	api   *httpapi.API
	ip    string
	given bool // there was a credential
	id    httpapi.Identity
	err   error
}

// greet signs the socket in. A refusal ends the socket; an error is that of the connection, or of what came over it.
func (s *socket) greet(c caller) error {
	if !c.given {
		s.inTime(time.Now().Add(s.gate.within))
		text, err := s.message()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.inTime(time.Time{})
			s.refuse()
			return nil
		}
		if err != nil {
			return err
		}
		s.inTime(time.Time{})
		f, err := parse(text)
		if err != nil {
			s.end(closeBadFrame, err.Error())
			return nil
		}
		c.id, c.err = s.firstFrame(c, f)
	}
	switch {
	case fault.Is(c.err, fault.Unauthorized), fault.Is(c.err, fault.AccessDenied), c.err == nil && c.id.User == "":
		s.refuse()
		return nil
	case c.err != nil:
		s.putOff(c.err)
		return nil
	}
	s.welcome(Session{Account: c.id.Account, User: c.id.User, Email: c.id.Email, Token: c.id.Token, JTI: c.id.JTI})
	return nil
}

// refuse answers a sign-in that failed or did not come, and closes.
func (s *socket) refuse() {
	s.answer(encode(reply{Type: "auth", Message: "Forbidden", Status: 401}))
	s.end(closeUnauthorized, "not authenticated")
}

// putOff closes a socket whose credential could not be checked now: it may be good, so its client shall come back.
func (s *socket) putOff(err error) {
	if fault.Is(err, fault.RateLimited) {
		s.end(closeRestart, "too many bad sign-ins; come back later")
		return
	}
	if s.gate.ctx.Err() == nil {
		s.gate.log.Warn("websocket sign-in", "error", err)
	}
	s.end(closeRestart, "sign-in is not possible now; come back")
}

// firstFrame reads {"type":"auth","payload":"<token>"}.
func (s *socket) firstFrame(c caller, f request) (httpapi.Identity, error) {
	var token string
	if f.Type != "auth" || json.Unmarshal(f.Payload, &token) != nil || token == "" {
		return httpapi.Identity{}, fault.New(fault.Unauthorized)
	}
	return c.api.Authenticate(s.gate.ctx, httpapi.Credentials{Kind: httpapi.TokenKind(token), Value: token, RemoteIP: c.ip}, "", readers)
}

// welcome registers the socket, reads the subscriptions of its user and answers the sign-in.
func (s *socket) welcome(who Session) {
	g := s.gate
	s.mu.Lock()
	s.replaying = true // nothing live before the auth answer
	s.mu.Unlock()
	if ok, code, reason := g.admit(s, who); !ok {
		s.end(code, reason)
		return
	}
	switch full, err := g.crowded(g.ctx, who.User); {
	case err != nil:
		s.end(closeRestart, "storage not readable")
		return
	case full:
		s.end(closeTooMany, errCrowded.Error())
		return
	}
	reading := g.read.Add(1)
	subs, err := list(g.ctx, g.db.Read(), who.User)
	if err != nil {
		s.end(closeRestart, "storage not readable")
		return
	}
	s.setStored(subs, reading)
	row, err := s.signedIn()
	if errors.Is(err, errCrowded) {
		s.end(closeTooMany, errCrowded.Error())
		return
	}
	if err != nil {
		g.log.Warn("websocket sign-in", "error", err)
		s.end(closeRestart, "storage not writable")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answerLocked(row.Body)
	s.sent, s.place, s.replay = row.Seq, row.Seq, &replayJob{after: row.Seq} // what came between the registration and this answer
	s.kick()
}

// signedIn writes the auth event and gives it back as the log rendered it.
func (s *socket) signedIn() (event.Row, error) {
	g, id := s.gate, ident.New()
	var in arrival
	s.listed = g.presence != nil
	err := g.db.Update(g.ctx, func(ctx context.Context, tx *db.Tx) error {
		user, acct, err := g.sessions.AuthViews(ctx, tx, s.who)
		if err != nil {
			return err
		}
		err = g.events.Append(tx, event.Event{
			UUID: id, Account: s.who.Account, Type: AuthEvent, RefID: s.id, At: g.now(),
			Message: "WSS connection " + s.id + "@" + s.ip + " - success auth " + s.who.Email,
			Payload: map[string]any{"uuid": s.id, "ip": s.ip, "user": user, "account": acct},
			Members: []event.Member{{Name: "success", Value: true}, {Name: "account", Value: acct}},
		})
		if s.listed {
			in = arrival{socket: account.Socket{ID: s.id, User: s.who.User}}
			tx.Collect(arrivals{g}, &in) // behind the event
		}
		return err
	})
	if err == nil {
		err = in.err
	}
	if err != nil {
		return event.Row{}, err
	}
	return g.events.Get(g.ctx, s.who.Account, id)
}
