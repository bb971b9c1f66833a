package stream

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
)

// AuthEvent is the type of the event after a socket signed in.
const AuthEvent event.Type = "auth"

// Limits of the gate, in one place (events.md §1).
const (
	authDeadline   = 10 * time.Second
	pingEvery      = 30 * time.Second
	missedPings    = 2
	checkEvery     = 15 * time.Second // how soon a revoked token or a deactivated user loses its sockets
	socketsPerUser = 20
	maxQueued      = 1000
	maxQueuedBytes = 4 << 20
	maxFrame       = 64 << 10 // from the client
	writeDeadline  = 20 * time.Second
	replayChunk    = 200
)

// Session is who a socket belongs to.
type Session struct {
	Account, User, Email string
	Token, JTI           string // uuid of the API token, or id of the JWT, that opened it
	Issued               time.Time
}

// Sessions is what the gate asks of accounts.
type Sessions interface {
	// Alive tells whether the session may go on: its user is active and its token was not revoked. Its mere expiry ends nothing.
	Alive(ctx context.Context, s Session) (bool, error)
	// AuthViews gives the user (scalars) and the account (without balance) of the auth event.
	AuthViews(ctx context.Context, q db.Querier, s Session) (user, account json.RawMessage, err error)
}

// Config is what a Gate needs.
type Config struct {
	DB       *db.DB
	Log      *event.Log
	Sessions Sessions
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
	// AuthWithin is the time until a connection must have signed in; zero: ten seconds.
	AuthWithin time.Duration
}

// Gate serves the websockets of this node.
type Gate struct {
	db       *db.DB
	events   *event.Log
	sessions Sessions
	log      *slog.Logger
	now      func() time.Time
	within   time.Duration
	halted   chan struct{} // closed when the gate stops

	mu       sync.RWMutex // guards the maps and stopping; running grows under it, while not stopping
	accounts map[string]map[*socket]struct{}
	users    map[string]int
	stopping bool
	running  sync.WaitGroup
}

// NewGate makes a gate; Run feeds its sockets.
func NewGate(cfg Config) *Gate {
	g := &Gate{db: cfg.DB, events: cfg.Log, sessions: cfg.Sessions, log: cfg.Logger, now: cfg.Now, within: cfg.AuthWithin, halted: make(chan struct{}), accounts: map[string]map[*socket]struct{}{}, users: map[string]int{}}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.within <= 0 {
		g.within = authDeadline
	}
	return g
}

// Run hands committed events to the sockets until ctx ends; then every socket is closed with 1001 and waited for.
func (g *Gate) Run(ctx context.Context, ready func()) error {
	cancel := g.events.Subscribe(g.offer)
	defer cancel()
	ready()
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	pings := time.NewTicker(pingEvery)
	defer pings.Stop()
	for {
		select {
		case <-ctx.Done():
			g.closeAll()
			return nil
		case <-tick.C:
			g.check(ctx)
		case <-pings.C:
			for _, s := range g.all() {
				s.ping()
			}
		}
	}
}

// Online tells whether a user has an authenticated socket on this node.
func (g *Gate) Online(user string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.users[user] > 0
}

// Sockets counts the authenticated sockets.
func (g *Gate) Sockets() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	n := 0
	for _, c := range g.users {
		n += c
	}
	return n
}

// admit registers a socket, unless its user has too many or the gate stops.
func (g *Gate) admit(s *socket) (ok bool, code int, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopping:
		return false, closeRestart, "server restarts"
	case g.users[s.who.User] >= socketsPerUser:
		return false, closeTooMany, "too many sockets"
	}
	if g.accounts[s.who.Account] == nil {
		g.accounts[s.who.Account] = map[*socket]struct{}{}
	}
	g.accounts[s.who.Account][s] = struct{}{}
	g.users[s.who.User]++
	return true, 0, ""
}

func (g *Gate) drop(s *socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	set := g.accounts[s.who.Account]
	if _, ok := set[s]; !ok {
		return
	}
	delete(set, s)
	if len(set) == 0 {
		delete(g.accounts, s.who.Account)
	}
	if g.users[s.who.User]--; g.users[s.who.User] == 0 {
		delete(g.users, s.who.User)
	}
}

// offer gives a committed event to the sockets of its account; it never blocks.
func (g *Gate) offer(r event.Row) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for s := range g.accounts[r.Account] {
		s.offer(r)
	}
}

func (g *Gate) all() []*socket {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var out []*socket
	for _, set := range g.accounts {
		for s := range set {
			out = append(out, s)
		}
	}
	return out
}

// check closes the sockets whose session was ended; each session is asked for once.
func (g *Gate) check(ctx context.Context) {
	alive := map[Session]bool{}
	for _, s := range g.all() {
		ok, known := alive[s.who]
		if !known {
			var err error
			if ok, err = g.sessions.Alive(ctx, s.who); err != nil {
				g.log.Warn("check websocket session", "error", err)
				ok = true
			}
			alive[s.who] = ok
		}
		if !ok {
			s.end(closeUnauthorized, "not authenticated")
		}
	}
}

// enter counts a connection, unless the gate stops.
func (g *Gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return false
	}
	g.running.Add(1)
	return true
}

// closeAll ends every connection, also those that have not signed in, and waits for their goroutines.
func (g *Gate) closeAll() {
	g.mu.Lock()
	g.stopping = true
	g.mu.Unlock()
	close(g.halted)
	for _, s := range g.all() {
		s.end(closeRestart, "server restarts")
	}
	g.running.Wait()
}

// changed makes the sockets of a user read their stored subscriptions anew.
func (g *Gate) changed(ctx context.Context, user string) {
	subs, err := list(ctx, g.db.Read(), user)
	if err != nil {
		g.log.Warn("read event subscriptions", "error", err)
		return
	}
	for _, s := range g.all() {
		if s.who.User == user {
			s.setStored(subs)
		}
	}
}
