package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultStartLimit is how long the parts of one stage may take until all of them are ready.
const DefaultStartLimit = time.Minute

// Errors that Run wraps, and causes of the contexts that it ends.
var (
	ErrStopping   = errors.New("the program is stopping")
	ErrNotReady   = errors.New("not ready in time")
	ErrNotStopped = errors.New("not stopped in time")
	ErrEnded      = errors.New("ended before it was ready")
	ErrPanic      = errors.New("panic")
)

// Part is one piece of the program. Run works until ctx ends and calls ready once it does its job; it returns nil or the context's
// error when it was told to stop. Returning nil by itself after ready means that the part's work is done; any other return of its own
// stops the whole group.
type Part struct {
	Name  string
	Stage int // lower stages start earlier and stop later
	Run   func(ctx context.Context, ready func()) error
}

// PartError says which part failed.
type PartError struct {
	Name string
	Err  error
}

// Error is "part NAME: " and the cause.
func (e *PartError) Error() string { return "part " + e.Name + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *PartError) Unwrap() error { return e.Err }

// Group runs parts. It runs once.
type Group struct {
	StartLimit time.Duration // for each stage until it is ready; zero means DefaultStartLimit
	StopLimit  time.Duration // for each stage to stop; zero waits for ever. Parts that overrun it are named in the error and left behind

	parts   []Part
	changed chan struct{} // bound 1, dropped when full: it only says "look again"
	ended   chan result   // bound len(parts): each part sends once and never waits

	mu       sync.Mutex // guards what follows
	started  bool
	stopping bool
	ready    map[string]bool
}

type result struct {
	part Part
	err  error
}

// stage is what Run keeps of a started stage.
type stage struct {
	number  int
	cancel  context.CancelCauseFunc
	running map[string]bool
}

// NewGroup makes a group of parts; names must differ.
func NewGroup(parts ...Part) *Group {
	return &Group{
		parts:   slices.Clone(parts),
		changed: make(chan struct{}, 1),
		ended:   make(chan result, len(parts)),
		ready:   make(map[string]bool, len(parts)),
	}
}

// Ready lists the names of the parts that are not ready, in starting order: nil means that everything works. Once the group is
// stopping all of its parts are listed.
func (g *Group) Ready() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var missing []string
	for _, p := range g.ordered() {
		if g.stopping || !g.ready[p.Name] {
			missing = append(missing, p.Name)
		}
	}
	return missing
}

// Run starts the parts, waits, and stops them. It returns nil when ctx ended and every part stopped in peace, else the first failure
// (a *PartError, or ErrNotReady with the names) joined with failures while stopping. No goroutine of it is left, except those of parts
// that overran StopLimit.
func (g *Group) Run(ctx context.Context) error {
	if err := g.begin(); err != nil {
		return err
	}
	var running []*stage
	var err error
	for _, parts := range g.stages() {
		s := g.start(ctx, parts)
		running = append(running, s)
		if err = g.awaitReady(ctx, s, running); err != nil || ctx.Err() != nil {
			break
		}
	}
	if err == nil && ctx.Err() == nil {
		err = g.watch(ctx, running)
	}
	return errors.Join(err, g.stop(running, err))
}

func (g *Group) begin() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started {
		return errors.New("lifecycle: a group runs once")
	}
	seen := map[string]bool{}
	for _, p := range g.parts {
		if p.Name == "" || p.Run == nil || seen[p.Name] {
			return fmt.Errorf("lifecycle: part %q is doubled or has no name or no Run", p.Name)
		}
		seen[p.Name] = true
	}
	g.started = true
	return nil
}

func (g *Group) ordered() []Part {
	return slices.SortedStableFunc(slices.Values(g.parts), func(a, b Part) int { return a.Stage - b.Stage })
}

func (g *Group) stages() [][]Part {
	var all [][]Part
	for _, p := range g.ordered() {
		if n := len(all); n > 0 && all[n-1][0].Stage == p.Stage {
			all[n-1] = append(all[n-1], p)
		} else {
			all = append(all, []Part{p})
		}
	}
	return all
}

// start gives the stage a context that keeps the values of ctx but not its end: the order of stopping is Run's.
func (g *Group) start(ctx context.Context, parts []Part) *stage {
	stageCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &stage{number: parts[0].Stage, cancel: cancel, running: map[string]bool{}}
	for _, p := range parts {
		s.running[p.Name] = true
	}
	for _, p := range parts {
		go g.runPart(stageCtx, p)
	}
	return s
}

// runPart sends the part's end to g.ended, also when it panicked or its goroutine ended without returning.
func (g *Group) runPart(ctx context.Context, p Part) {
	err := fmt.Errorf("%w: goroutine ended without returning", ErrPanic)
	defer func() { g.ended <- result{p, err} }()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrPanic, v, debug.Stack())
		}
	}()
	err = g.verdict(ctx, p, p.Run(ctx, func() { g.markReady(p.Name) }))
}

// verdict tells a failure from the ordinary end of a part.
func (g *Group) verdict(ctx context.Context, p Part, err error) error {
	told := ctx.Err() != nil
	switch {
	case told && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))):
		return nil
	case err == nil && !told && !g.isReady(p.Name):
		return ErrEnded
	}
	return err
}

func (g *Group) markReady(name string) {
	g.mu.Lock()
	g.ready[name] = true
	g.mu.Unlock()
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

func (g *Group) isReady(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ready[name]
}

// unready lists the parts of a stage that have not called ready.
func (g *Group) unready(s *stage) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var names []string
	for _, p := range g.parts {
		if p.Stage == s.number && !g.ready[p.Name] {
			names = append(names, p.Name)
		}
	}
	return names
}

func (g *Group) awaitReady(ctx context.Context, s *stage, running []*stage) error {
	limit := g.StartLimit
	if limit <= 0 {
		limit = DefaultStartLimit
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		missing := g.unready(s)
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-g.changed:
		case r := <-g.ended:
			if err := note(r, running); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		case <-timer.C:
			return fmt.Errorf("stage %d: %s: %w (%v)", s.number, strings.Join(missing, ", "), ErrNotReady, limit)
		}
	}
}

// watch waits for the end of ctx or the first failure.
func (g *Group) watch(ctx context.Context, running []*stage) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-g.ended:
			if err := note(r, running); err != nil {
				return err
			}
		}
	}
}

// note takes an ended part out of its stage and gives its failure its name.
func note(r result, running []*stage) error {
	for _, s := range running {
		delete(s.running, r.part.Name)
	}
	if r.err != nil {
		return &PartError{r.part.Name, r.err}
	}
	return nil
}

// stop ends the stages from the last to the first, each waited for before the next. The contexts end with the failure as their
// cause, or with ErrStopping.
func (g *Group) stop(running []*stage, failure error) error {
	g.mu.Lock()
	g.stopping = true
	g.mu.Unlock()
	cause := ErrStopping
	if failure != nil {
		cause = fmt.Errorf("%w: %w", ErrStopping, failure)
	}
	var errs []error
	for _, s := range slices.Backward(running) {
		s.cancel(cause)
		errs = append(errs, g.awaitStopped(s, running)...)
	}
	return errors.Join(errs...)
}

func (g *Group) awaitStopped(s *stage, running []*stage) (errs []error) {
	var overrun <-chan time.Time // nil waits for ever
	if g.StopLimit > 0 {
		timer := time.NewTimer(g.StopLimit)
		defer timer.Stop()
		overrun = timer.C
	}
	for len(s.running) > 0 {
		select {
		case r := <-g.ended:
			if err := note(r, running); err != nil {
				errs = append(errs, err)
			}
		case <-overrun:
			names := slices.Sorted(maps.Keys(s.running))
			return append(errs, fmt.Errorf("stage %d: %s: %w (%v)", s.number, strings.Join(names, ", "), ErrNotStopped, g.StopLimit))
		}
	}
	return errs
}
