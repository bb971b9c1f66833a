package crash

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Limits of a run.
const (
	tryLimit     = 5 * time.Second         // one try of a request; a frozen server answers none
	silenceLimit = 15 * time.Second        // of a websocket
	retryPause   = 50 * time.Millisecond   // between tries
	answerLimit  = 60 * time.Second        // for the last answers after the last kill
	settleLimit  = 120 * time.Second       // for the server to become quiet
	settleEach   = 10 * time.Millisecond   // more of it for each acknowledged request
	quietFor     = 1500 * time.Millisecond // without news, at least
	longRun      = 5000                    // acknowledged requests
	looks        = 15                      // at the server within the time that nothing must happen
	quietEach    = time.Millisecond        // more of it for ten acknowledged requests: operators see what waits only once in a while
	orderPause   = 120 * time.Millisecond  // between two orders of a customer, at least
	onSale       = 200                     // numbers of the areas that a customer buys from
	startTries   = 5                       // a kill may hit a starting server
	frozenFor    = 60 * time.Second        // of a node that was stopped and goes on
	lifeLimit    = 3 * time.Second         // of a server until it is killed, however little it did
	slowAnswer   = 10 * time.Millisecond   // more life for each answer that is waited for
	stoppingFor  = time.Second             // a kill falls within this of SIGTERM
	maxCases     = 4                       // of one kind of complaint that are shown
)

// Plan says what a run is to do.
type Plan struct {
	Binary string // built with the tag failpoint
	Dir    string // for data; kept by the caller
	DB     string // database URL; empty for SQLite below Dir
	Seed   uint64
	Nodes  int
	Kills  int           // at least so many
	Acks   int           // at least so many acknowledged requests
	Length time.Duration // at least so much work
	Limit  time.Duration // the work ends after this even when there were fewer
	Gap    int           // answers between kills at random, on the average
	Freeze bool          // one of two nodes is stopped for a while and goes on
	Rate   int           // messages per second that customers try to send
	Logf   func(format string, args ...any)
}

// settle is how long the server may take to become quiet: each kill holds back the callbacks of the threads that it hit, and a long run leaves many behind.
func (p *Plan) settle() time.Duration { return settleLimit + time.Duration(p.Acks)*settleEach }

// quiet is how long nothing must happen until nothing is to be expected any more.
func (p *Plan) quiet() time.Duration { return quietFor + time.Duration(p.Acks/10)*quietEach }

// orders is the time between two orders of a customer: what is on sale lasts for the whole run, which takes about twice as long as its messages alone.
func (p *Plan) orders() time.Duration {
	return max(orderPause, 2*time.Second*time.Duration(p.Acks)/time.Duration(max(p.Rate, 1))/onSale)
}

// chance is the randomness of one part of a run: parts do not share one, so that each depends on the seed alone.
func (p *Plan) chance(part string) *rand.Rand {
	h := p.Seed
	for _, b := range []byte(part) {
		h = h*0x100000001b3 ^ uint64(b)
	}
	return rand.New(rand.NewPCG(p.Seed, h))
}

func (p *Plan) String() string {
	db := "sqlite"
	if p.DB != "" {
		db = "postgres"
	}
	return fmt.Sprintf("%s, %d nodes, seed %d", db, p.Nodes, p.Seed)
}
