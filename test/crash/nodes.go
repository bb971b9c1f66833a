package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/test/scenario/house"
)

// Names of the kills that no failpoint made.
const (
	atRandom      = "at random"
	whileStopping = "while stopping"
)

// failpointEnv arms the program.
const failpointEnv = "OPENTACT_TEST_FAILPOINT"

// node is one server with its own data directory and its own ports, which stay the same over its starts.
type node struct {
	n      int
	server *house.Server
	client *house.Client
	sip    string
	armed  string // failpoint of this start, empty for none
}

// nodes are the servers of a run.
type nodes struct {
	plan  Plan
	notes *notes
	list  []*node

	mu     sync.Mutex
	kills  map[string]int  // by failpoint
	order  []string        // kills with their times
	errors map[string]bool // ERROR lines of the logs
	slow   time.Duration   // longest start
}

// start runs every node for the first time.
func start(ctx context.Context, plan Plan, notes *notes) (*nodes, error) {
	ns := &nodes{plan: plan, notes: notes, kills: map[string]int{}, errors: map[string]bool{}}
	ports := plan.chance("ports")
	for i := range plan.Nodes {
		data := filepath.Join(plan.Dir, "node"+strconv.Itoa(i))
		if err := os.MkdirAll(data, 0o700); err != nil {
			return ns, err
		}
		web, sip := freePort(ports), freePort(ports)
		s, err := house.Start(ctx, house.Options{
			Binary: plan.Binary, Data: data, DB: plan.DB,
			Flags: []string{"--http-addr", web, "--sip-addr", sip, "--sandbox-credit", "1000000"},
		})
		if err != nil {
			return ns, err
		}
		ns.list = append(ns.list, &node{n: i, server: s, client: house.NewClient("http://"+web, house.Token), sip: sip})
	}
	return ns, nil
}

// freePort picks an address below those that the kernel gives to outgoing connections and below the servers' media.
func freePort(r *rand.Rand) string {
	for {
		addr := "127.0.0.1:" + strconv.Itoa(11000+r.IntN(8000))
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			_ = ln.Close()
			return addr
		}
	}
}

// client is for the n-th node, counted on past the last.
func (ns *nodes) client(n int) *house.Client { return ns.list[n%len(ns.list)].client }

// torment kills nodes until enough says so or ctx ends; then all run again, unarmed.
func (ns *nodes) torment(ctx context.Context, enough func(kills int) bool) error {
	r := ns.plan.chance("kills")
	deck := newDeck(r)
	frozen := !ns.plan.Freeze
	for ctx.Err() == nil && !enough(ns.killed()) {
		victim := ns.list[r.IntN(len(ns.list))]
		if !frozen && ns.killed() >= ns.plan.Kills/2 {
			frozen = true
			if err := ns.freeze(ctx, victim); err != nil {
				return err
			}
			continue
		}
		ns.await(ctx, victim, r)
		ns.end(victim, ns.asked(ctx, victim, r))
		if err := ns.again(victim, deck.next()); err != nil {
			return err
		}
	}
	return ns.disarm()
}

// disarm starts those nodes again that may die by themselves.
func (ns *nodes) disarm() error {
	for _, n := range ns.list {
		if n.armed == "" {
			continue
		}
		ns.end(n, atRandom)
		if err := ns.again(n, ""); err != nil {
			return err
		}
	}
	return nil
}

// await gives the victim time to run into its failpoint, or until the blow falls at random: after so many answers, for a busy machine is slow.
func (ns *nodes) await(ctx context.Context, n *node, r *rand.Rand) {
	enough := ns.notes.count() + 1 + r.IntN(2*ns.plan.Gap)
	if n.armed != "" {
		enough += ns.plan.Gap
	}
	tick, end := time.NewTicker(10*time.Millisecond), time.NewTimer(lifeLimit+time.Duration(ns.plan.Gap)*slowAnswer)
	defer tick.Stop()
	defer end.Stop()
	for ns.notes.count() < enough {
		select {
		case <-tick.C:
		case <-end.C:
			return
		case <-n.server.Over():
			return
		case <-ctx.Done():
			return
		}
	}
}

// asked lets one of four unarmed victims begin to stop in good order, and says what its death will be counted under.
func (ns *nodes) asked(ctx context.Context, n *node, r *rand.Rand) string {
	if n.armed != "" || r.IntN(4) > 0 {
		return atRandom
	}
	_ = syscall.Kill(n.server.PID(), syscall.SIGTERM) // it may be gone
	wait(ctx, time.Duration(r.Int64N(int64(stoppingFor))))
	return whileStopping
}

// end makes sure that a node is dead and notes of what.
func (ns *nodes) end(n *node, why string) {
	n.server.Kill()
	if n.armed != "" && strings.Contains(n.server.Log(), "failpoint "+point(n.armed)+": hit") {
		why = point(n.armed)
	}
	for _, word := range []string{"panic: ", "fatal error: "} {
		if lines := n.server.Grep(word); len(lines) > 0 {
			ns.notes.complain("node %d ended by itself: %s\n%s", n.n, lines[0], n.server.Log())
		}
	}
	ns.count(n, why)
	ns.read(n)
}

// read keeps the lines of a node's log that tell of errors.
func (ns *nodes) read(n *node) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, line := range n.server.Grep(`"level":"ERROR"`) {
		ns.errors[line] = true
	}
}

func (ns *nodes) count(n *node, why string) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.kills[why]++
	ns.order = append(ns.order, fmt.Sprintf("%v node %d %s", time.Since(ns.notes.began).Round(time.Millisecond), n.n, why))
}

func (ns *nodes) killed() int {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	all := 0
	for _, n := range ns.kills {
		all += n
	}
	return all
}

// again starts a node, armed or not. A failpoint may kill it before it is ready: then it starts unarmed.
func (ns *nodes) again(n *node, armed string) error {
	var err error
	for range startTries {
		n.armed, n.server.Env = armed, nil
		if armed != "" {
			n.server.Env = []string{failpointEnv + "=" + armed}
		}
		if err = n.server.Restart(context.Background()); err == nil {
			ns.mu.Lock()
			ns.slow = max(ns.slow, n.server.Took())
			ns.mu.Unlock()
			return nil
		}
		if armed == "" || !strings.Contains(err.Error(), "failpoint "+point(armed)+": hit") {
			return fmt.Errorf("node %d does not start again (%d kills so far): %w", n.n, ns.killed(), err)
		}
		ns.count(n, point(armed))
		armed = ""
	}
	return err
}

// freeze stops a node for so long that the others must take it for dead, and lets it go on.
func (ns *nodes) freeze(ctx context.Context, n *node) error {
	if err := ns.disarm(); err != nil {
		return err
	}
	ns.plan.Logf("node %d is stopped for %v", n.n, frozenFor)
	if err := syscall.Kill(n.server.PID(), syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop node %d: %w", n.n, err)
	}
	wait(ctx, frozenFor)
	if err := syscall.Kill(n.server.PID(), syscall.SIGCONT); err != nil {
		return fmt.Errorf("continue node %d: %w", n.n, err)
	}
	ns.plan.Logf("node %d goes on", n.n)
	return nil
}

// stop ends every node as its operator would.
func (ns *nodes) stop() error {
	var all error
	for _, n := range ns.list {
		n.client.HTTP.CloseIdleConnections()
		code, err := n.server.Stop()
		if err == nil && code != 0 {
			err = fmt.Errorf("node %d ended with code %d\n%s", n.n, code, n.server.Log())
		}
		all = errors.Join(all, err)
		ns.read(n)
	}
	return all
}

// drop ends every node at once, when the run failed.
func (ns *nodes) drop() {
	for _, n := range ns.list {
		_ = syscall.Kill(n.server.PID(), syscall.SIGCONT) // it may be frozen, or gone
		n.server.Kill()
	}
}

// point is the name in "name:N".
func point(armed string) string {
	name, _, _ := strings.Cut(armed, ":")
	return name
}

// deck deals the failpoints so that all come before any comes twice, with starts between them that are not armed.
type deck struct {
	r     *rand.Rand
	cards []string
}

func newDeck(r *rand.Rand) *deck { return &deck{r: r} }

// next gives the value for the environment of the next start.
func (d *deck) next() string {
	if len(d.cards) == 0 {
		for i, p := range failpoint.Points() {
			d.cards = append(d.cards, p.Name)
			if i%3 == 0 {
				d.cards = append(d.cards, "")
			}
		}
		d.r.Shuffle(len(d.cards), func(i, j int) { d.cards[i], d.cards[j] = d.cards[j], d.cards[i] })
	}
	name := d.cards[0]
	d.cards = d.cards[1:]
	if name == "" {
		return ""
	}
	mean := 2.0 // hits; some moments are rare
	for _, often := range []string{"db.", "event.", "messaging.", "idempotency."} {
		if strings.HasPrefix(name, often) {
			mean = 10
		}
	}
	if strings.HasPrefix(name, "cluster.") {
		mean = 0.3 // while a node starts
	}
	return fmt.Sprintf("%s:%d", name, 1+int(d.r.ExpFloat64()*mean))
}
