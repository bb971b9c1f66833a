package phone

import (
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// ear keeps the latest of what was heard. Places in it are counted in samples from the beginning, also when that is gone.
type ear struct {
	limit   int           // samples
	changed chan struct{} // holds one: there is more

	mu      sync.Mutex
	samples []int16
	gone    int // samples thrown away before samples
	frames  int
}

func newEar(keep time.Duration) *ear {
	return &ear{limit: audio.Samples(keep), changed: make(chan struct{}, 1)}
}

// hear takes a frame on the clock's goroutine.
func (e *ear) hear(frame []int16) {
	e.mu.Lock()
	e.samples = append(e.samples, frame...)
	if over := len(e.samples) - e.limit; over > audio.Samples(earSlack) {
		e.gone += over
		e.samples = e.samples[:copy(e.samples, e.samples[over:])]
	}
	e.frames++
	signal := e.frames%earSignal == 0
	e.mu.Unlock()
	if signal {
		select {
		case e.changed <- struct{}{}:
		default:
		}
	}
}

func (e *ear) mark() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gone + len(e.samples)
}

// since is a copy of what was heard from a place on, at most the limit, and the place where it really begins.
func (e *ear) since(mark int) (samples []int16, from int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := min(max(mark-e.gone, len(e.samples)-e.limit, 0), len(e.samples))
	return append([]int16(nil), e.samples[i:]...), e.gone + i
}
