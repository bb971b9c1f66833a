package sim

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// shown is how many of the last steps a failing world tells.
const shown = 80

// trace is what happened in a world, in order.
type trace struct {
	start time.Time

	mu    sync.Mutex // guards steps
	steps []string
}

func (t *trace) add(format string, args ...any) {
	at := time.Since(t.start)
	text := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(t.steps, fmt.Sprintf("%12.3f  %s", at.Seconds(), text))
}

// last gives the last n steps; 0 gives all.
func (t *trace) last(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := 0
	if n > 0 {
		from = max(0, len(t.steps)-n)
	}
	return strings.Join(t.steps[from:], "\n")
}
