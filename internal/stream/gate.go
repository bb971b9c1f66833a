package stream

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
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
	socketsPerUser = 20
	maxQueued      = 1000
	maxQueuedBytes = 4 << 20
	maxFrame       = 64 << 10         // from the client
	writeDeadline  = 2 * time.Minute  // half of it is the least that a write gets; unanswered pings end a socket earlier
	lastWrite      = 20 * time.Second // what a write in progress gets once the socket shall end: then the close frame finds its place
	closeWait      = 3 * time.Second  // for the other side's close frame, then the connection is cut
	replayChunk    = 200
	maxWrite       = 32        // frames written with one system call
	maxWriteBytes  = 256 << 10 // and their bytes, when it is more than one frame
	kernelBuffer   = 128 << 10 // what waits in the kernel for a client that does not read
)

// Session is who a socket belongs to.
type Session struct {
	Account, User, Email string
	Token, JTI           string // uuid of the API token, or id of the JWT, that opened it
}

// Sessions is what the gate asks of accounts.
type Sessions interface {
	// Alive tells whether the session may go on: its user is active and its token was not revoked. Its mere expiry ends nothing.
	Alive(ctx context.Context, s Session) (bool, error)
	// AuthViews gives the user (scalars) and the account (without balance) of the auth event.
	AuthViews(ctx context.Context, q db.Querier, s Session) (user, account json.RawMessage, err error)
}

// Bus tells other nodes that a user's subscriptions changed.
type Bus interface {
	Publish(subject string, data []byte) error
	Subscribe(subject string, f func(data []byte)) (unsubscribe func(), err error)
}

// changedSubject is the subject of that news; its data is the user's uuid.
const changedSubject = "stream.changed"

// Config is what a Gate needs.
type Config struct {
	DB       *db.DB
	Log      *event.Log
	Sessions Sessions
	Bus      Bus      // nil: this node is alone
	Presence Presence // nil: this node is alone
	// Fence refuses a transaction of a node that was declared dead, with cluster.ErrLost; needed beside Presence.
	Fence  func(ctx context.Context, tx *db.Tx) error
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
	// AuthWithin is the time until a connection must have signed in; zero: ten seconds.
	AuthWithin time.Duration
	// PingEvery is the time between two pings of a socket; zero: thirty seconds. Its session is checked twice in it.
	PingEvery time.Duration
}

// Gate serves the websockets of this node.
type Gate struct {
	db       *db.DB
	events   *event.Log
	sessions Sessions
	hooks    Hooks   // see Attach
	reports  Reports // see Attach
	bus      Bus
	presence Presence
	fence    func(ctx context.Context, tx *db.Tx) error
	parting  chan struct{} // holds one word that sockets ended; more are the same
	log      *slog.Logger
	now      func() time.Time
	within   time.Duration
	pings    time.Duration
	ctx      context.Context // of what sockets wait for; halt ends it when the gate stops
	halt     context.CancelFunc
	read     atomic.Int64 // counts readings of subscriptions: a later one has seen all that an earlier one saw

	mu       sync.RWMutex // guards the maps, the wheel and stopping; running grows under it, while not stopping
	accounts map[string][]*socket
	users    map[string][]*socket
	wheel    wheel
	parted   []string // sockets that ended and still stand in the database
	stopping bool
	running  sync.WaitGroup
}

// NewGate makes a gate; Run feeds its sockets.
func NewGate(cfg Config) *Gate {
	g := &Gate{
		db: cfg.DB, events: cfg.Log, sessions: cfg.Sessions, bus: cfg.Bus, presence: cfg.Presence, fence: cfg.Fence, parting: make(chan struct{}, 1), log: cfg.Logger, now: cfg.Now, within: cfg.AuthWithin, pings: cfg.PingEvery,
		accounts: map[string][]*socket{}, users: map[string][]*socket{},
	}
	g.ctx, g.halt = context.WithCancel(context.Background())
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.within <= 0 {
		g.within = authDeadline
	}
	if g.pings <= 0 {
		g.pings = pingEvery
	}
	return g
}

// Run hands committed events to the sockets until ctx ends; then every socket is closed with 1001 and waited for.
func (g *Gate) Run(ctx context.Context, ready func()) error {
	defer g.closeAll()
	cancel := g.events.Subscribe(g.offer)
	defer cancel()
	if g.bus != nil {
		unsubscribe, err := g.bus.Subscribe(changedSubject, func(user []byte) { g.reread(ctx, string(user)) })
		if err != nil {
			return err
		}
		defer unsubscribe()
	}
	ready()
	tick := time.NewTicker(g.pings / slots)
	defer tick.Stop()
	turn := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.parting:
			g.takeAway(ctx)
		case <-tick.C:
			g.turn(ctx, turn)
			g.takeAway(ctx) // what the database did not take before
			turn++
		}
	}
}

// Online tells whether a user has an authenticated socket on this node.
func (g *Gate) Online(user string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.users[user]) > 0
}

// Sockets counts the authenticated sockets.
func (g *Gate) Sockets() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	n := 0
	for _, list := range g.accounts {
		n += len(list)
	}
	return n
}

// enter takes a connection in, unless the gate stops; leave takes it out.
func (g *Gate) enter(s *socket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return false
	}
	g.running.Add(1)
	g.wheel.enter(s)
	return true
}

// admit registers a socket that signed in, unless its user has too many or the gate stops.
func (g *Gate) admit(s *socket, who Session) (ok bool, code int, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopping:
		return false, closeRestart, "server restarts"
	case len(g.users[who.User]) >= socketsPerUser:
		return false, closeTooMany, "too many sockets"
	}
	s.who, s.seat = who, len(g.accounts[who.Account])
	g.accounts[who.Account] = append(g.accounts[who.Account], s)
	g.users[who.User] = append(g.users[who.User], s)
	g.wheel.settle(s, who.User)
	return true, 0, ""
}

func (g *Gate) leave(s *socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wheel.remove(s)
	g.part(s)
	if s.who.User == "" {
		return
	}
	seats := g.accounts[s.who.Account]
	last := len(seats) - 1
	seats[s.seat], seats[last].seat = seats[last], s.seat
	seats[last] = nil
	if g.accounts[s.who.Account] = seats[:last]; last == 0 {
		delete(g.accounts, s.who.Account)
	}
	own := g.users[s.who.User]
	for i, other := range own {
		if other == s {
			own[i], own[len(own)-1] = own[len(own)-1], nil
			own = own[:len(own)-1]
			break
		}
	}
	if g.users[s.who.User] = own; len(own) == 0 {
		delete(g.users, s.who.User)
	}
}

// offer gives a committed event to the sockets of its account; it never blocks.
func (g *Gate) offer(r event.Row) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	seats := g.accounts[r.Account]
	if len(seats) == 0 {
		return
	}
	p := &parcel{row: r}
	now := g.now()
	for _, s := range seats {
		s.offer(p, now)
	}
}

// closeAll ends every connection, also those that have not signed in, and waits for their goroutines.
func (g *Gate) closeAll() {
	g.mu.Lock()
	g.stopping = true
	all := g.wheel.all()
	g.mu.Unlock()
	g.halt()
	for _, s := range all {
		s.end(closeRestart, "server restarts")
		s.within(closeWait)
	}
	g.running.Wait()
}

// changed makes the sockets of a user read their stored subscriptions anew, on this node before it returns and then on the others.
func (g *Gate) changed(ctx context.Context, user string) {
	g.reread(ctx, user)
	if g.bus == nil {
		return
	}
	if err := g.bus.Publish(changedSubject, []byte(user)); err != nil {
		g.log.Warn("tell of changed subscriptions", "error", err)
	}
}

func (g *Gate) reread(ctx context.Context, user string) {
	if !g.Online(user) {
		return
	}
	reading := g.read.Add(1)
	subs, err := list(ctx, g.db.Read(), user)
	if err != nil {
		g.log.Warn("read event subscriptions", "error", err)
		return
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, s := range g.users[user] {
		s.setStored(subs, reading)
	}
}
