package stream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/ident"
)

// errFrame says that a frame was binary, too large or no JSON object; errText that it was not UTF-8.
var (
	errFrame = errors.New("frame is not a JSON object of at most 64 KiB")
	errText  = errors.New("frame is not UTF-8")
)

// Mount serves the websocket at the root path and at /ws.
func (g *Gate) Mount(a *httpapi.API) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, a) })
	a.Mount("/{$}", h)
	a.Mount("/ws", h)
}

// serve is the life of one connection.
func (g *Gate) serve(w http.ResponseWriter, r *http.Request, a *httpapi.API) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		a.Fail(w, r, fault.New(fault.NotFound))
		return
	}
	// The credential of the handshake is checked before the upgrade takes the request's writer away.
	var id httpapi.Identity
	var signErr error
	_, given := httpapi.FindCredentials(r)
	if given {
		id, signErr = a.Identify(r)
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled}) // any origin: no cookies are used
	if err != nil {
		return // Accept has answered
	}
	if !g.enter() {
		conn.Close(closeRestart, "server restarts")
		return
	}
	defer g.running.Done()
	conn.SetReadLimit(-1) // readFrame has the limit, with a close code of its own
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	if !given {
		if id, signErr = g.firstFrame(ctx, conn, r, a); errors.Is(signErr, errFrame) || errors.Is(signErr, errText) {
			conn.Close(closeCode(signErr), signErr.Error())
			return
		}
	}
	if signErr != nil || id.User == "" {
		g.refuse(ctx, conn)
		return
	}
	who := Session{Account: id.Account, User: id.User, Email: id.Email, Token: id.Token, JTI: id.JTI, Issued: g.now()}
	g.session(ctx, cancel, conn, who, httpapi.RemoteIP(r.Context()))
}

// refuse answers a sign-in that failed and closes.
func (g *Gate) refuse(ctx context.Context, conn *websocket.Conn) {
	ctx, cancel := context.WithTimeout(ctx, writeDeadline)
	defer cancel()
	_ = conn.Write(ctx, websocket.MessageText, encode(reply{Type: "auth", Message: "Forbidden", Status: 401}))
	conn.Close(closeUnauthorized, "not authenticated")
}

// firstFrame waits for {"type":"auth","payload":"<token>"}. A client that says nothing is told so by the close: the read's own context must not end, since
// that would cut the connection.
func (g *Gate) firstFrame(ctx context.Context, conn *websocket.Conn, r *http.Request, a *httpapi.API) (httpapi.Identity, error) {
	late := time.NewTimer(g.within)
	defer late.Stop()
	came := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-came:
		case <-g.halted:
			conn.Close(closeRestart, "server restarts")
		case <-late.C:
			g.refuse(ctx, conn)
		}
	})
	f, err := readFrame(ctx, conn)
	close(came)
	watch.Wait()
	if err != nil {
		return httpapi.Identity{}, err
	}
	var token string
	if f.Type != "auth" || json.Unmarshal(f.Payload, &token) != nil || token == "" {
		return httpapi.Identity{}, fault.New(fault.Unauthorized)
	}
	return a.Authenticate(ctx, httpapi.Credentials{Kind: httpapi.TokenKind(token), Value: token, RemoteIP: httpapi.RemoteIP(r.Context())}, "")
}

// session registers the socket, answers the sign-in and reads frames until the end.
func (g *Gate) session(ctx context.Context, cancel context.CancelFunc, conn *websocket.Conn, who Session, ip string) {
	s := newSocket(g, conn, ident.New(), who)
	subs, err := list(ctx, g.db.Read(), who.User)
	if err != nil {
		conn.Close(closeRestart, "storage not readable")
		return
	}
	s.stored = subs
	s.replaying = true // nothing live before the auth answer
	if ok, code, reason := g.admit(s); !ok {
		conn.Close(websocket.StatusCode(code), reason)
		return
	}
	defer g.drop(s)
	row, err := g.signedIn(ctx, s, ip)
	if err != nil {
		g.log.Warn("websocket sign-in", "error", err)
		conn.Close(closeRestart, "storage not writable")
		return
	}
	s.mu.Lock()
	s.frames, s.sent = append(s.frames, row.Body), row.Cursor()
	s.place, s.replay = row.Seq, &replayJob{after: row.Seq} // what came between the registration and this answer
	s.mu.Unlock()
	s.signal()
	go s.write(ctx)
	s.read(ctx)
	cancel()
	<-s.done
	_ = conn.CloseNow()
}

// signedIn writes the auth event and gives it back as the log rendered it.
func (g *Gate) signedIn(ctx context.Context, s *socket, ip string) (event.Row, error) {
	id := ident.New()
	err := g.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		user, account, err := g.sessions.AuthViews(ctx, tx, s.who)
		if err != nil {
			return err
		}
		return g.events.Append(tx, event.Event{
			UUID: id, Account: s.who.Account, Type: AuthEvent, RefID: s.id, At: g.now(),
			Message: "WSS connection " + s.id + "@" + ip + " - success auth " + s.who.Email,
			Payload: map[string]any{"uuid": s.id, "ip": ip, "user": user, "account": account},
			Members: []event.Member{{Name: "success", Value: true}, {Name: "account", Value: account}},
		})
	})
	if err != nil {
		return event.Row{}, err
	}
	return g.events.Get(ctx, s.who.Account, id)
}

// read handles frames until the connection ends or a frame cannot be one.
func (s *socket) read(ctx context.Context) {
	for {
		f, err := readFrame(ctx, s.conn)
		if errors.Is(err, errFrame) || errors.Is(err, errText) {
			s.conn.Close(closeCode(err), err.Error())
			return
		}
		if err != nil {
			return
		}
		s.handle(ctx, f)
	}
}

func closeCode(err error) websocket.StatusCode {
	if errors.Is(err, errText) {
		return closeBadText
	}
	return closeBadFrame
}

// readFrame reads one text frame with a JSON object.
func readFrame(ctx context.Context, conn *websocket.Conn) (frame, error) {
	kind, r, err := conn.Reader(ctx)
	if err != nil {
		return frame{}, err
	}
	if kind != websocket.MessageText {
		return frame{}, errFrame
	}
	b, err := io.ReadAll(io.LimitReader(r, maxFrame+1))
	if err != nil {
		return frame{}, err
	}
	if len(b) > maxFrame {
		return frame{}, errFrame
	}
	if !utf8.Valid(b) {
		return frame{}, errText
	}
	var f frame
	if b = []byte(strings.TrimSpace(string(b))); len(b) == 0 || b[0] != '{' || json.Unmarshal(b, &f) != nil {
		return frame{}, errFrame
	}
	return f, nil
}
