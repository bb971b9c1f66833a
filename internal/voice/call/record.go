package call

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/ident"
)

// Errors of recordings.
var (
	ErrNoStore         = errors.New("call: nowhere to keep recordings")
	ErrNothingRecorded = errors.New("call: recording was too short")
	ErrRecordFailed    = errors.New("call: recording failed")
	ErrRecordOptions   = errors.New("call: recordings are wav or mp3, mono or dual")
)

// The states of a recording.
const (
	RecordRecording  = "recording"
	RecordProcessing = "processing"
	RecordAvailable  = "available"
	RecordFailed     = "failed"
)

// How a recording ends by itself; Stop has words of its own.
const (
	EndedByHangup  = "hangup"
	EndedByTimeout = "timeout"
	EndedBySilence = "silence"
)

// RecordOptions describe one recording.
type RecordOptions struct {
	Tag, Lang  string
	Format     string        // wav (also "") or mp3
	Channels   string        // mono (also "") or dual: the controlled leg left, what it hears right
	ASR        bool          // passed on to the Record
	Trim       bool          // cuts silence at both ends
	CallerOnly bool          // only what the controlled leg says
	Max        time.Duration // default 4 h
	Silence    time.Duration // ends after that much of it; 0 never
	Min        time.Duration // shorter ones are thrown away: Stop gives ErrNothingRecorded
}

// Record is a snapshot of a recording.
type Record struct {
	ID, Leg, Account, Tag, State, Format, Channels, Reason, BlobKey, SHA256 string

	ASR                    bool
	Lang                   string
	Duration               time.Duration // of the sound, exact to a sample
	Size                   int64         // bytes of the file
	StartedOn, AvailableOn time.Time
	EndedBy                string
}

// Recording is a recording under way. It outlives the script that started it and ends with the call at the latest.
type Recording struct {
	call   *Call
	opts   RecordOptions
	start  time.Duration // of the media clock
	ended  chan struct{} // closed when it ended
	closed chan struct{} // closed when the sound is safe and result is final but for a conversion
	wake   chan struct{} // holds one: there is something to write
	timer  *time.Timer
	remove func() // of the tap; nil while the leg has no media

	mu      sync.Mutex
	snap    Record
	err     error
	stopped bool
	chunks  []chunk
	waiting int     // samples in chunks, at most recordBuffer
	total   int     // samples on the time line
	in      []int16 // of this tick
}

// chunk is a stretch of the time line: silence, then sound.
type chunk struct {
	gap         int
	left, right []int16
}

// StartRecord begins a recording of the controlled leg. Before there is media the recording is silent; time goes by all the same.
func (c *Call) StartRecord(_ context.Context, o RecordOptions) (*Recording, error) {
	if c.engine.cfg.Blob == nil {
		return nil, ErrNoStore
	}
	if o.Format == "" {
		o.Format = "wav"
	}
	if o.Channels == "" {
		o.Channels = "mono"
	}
	if o.Format != "wav" && o.Format != "mp3" || o.Channels != "mono" && o.Channels != "dual" {
		return nil, ErrRecordOptions
	}
	if o.Max <= 0 || o.Max > maxRecord {
		o.Max = maxRecord
	}
	var r *Recording
	err := c.endedError()
	c.do(func() { r, err = c.startRecord(o) })
	return r, err
}

func (c *Call) startRecord(o RecordOptions) (*Recording, error) {
	if c.ending {
		return nil, c.endedError()
	}
	leg := c.a.snapshot()
	id, now := ident.New(), c.engine.cfg.Now()
	r := &Recording{
		call: c, opts: o, start: c.engine.cfg.Clock.Now(), ended: make(chan struct{}), closed: make(chan struct{}), wake: make(chan struct{}, 1),
		snap: Record{
			ID: id, Leg: leg.ID, Account: leg.Account, Tag: o.Tag, State: RecordRecording, Format: o.Format, Channels: o.Channels,
			ASR: o.ASR, Lang: o.Lang, StartedOn: now, BlobKey: "rec/" + now.UTC().Format("2006/01/02") + "/" + id + ".wav",
		},
	}
	c.records = append(c.records, r)
	c.engine.cfg.Observer.RecordChanged(r.snap)
	r.timer = c.after(o.Max, func() { c.stopRecord(r, EndedByTimeout) })
	r.attach()
	c.work.Go(r.write)
	return r, nil
}

// attachRecords lets recordings hear a leg that has got its media.
func (c *Call) attachRecords() {
	for _, r := range c.running() {
		r.attach()
	}
}

func (c *Call) running() []*Recording {
	return c.recordsBefore(func(r *Recording) <-chan struct{} { return r.ended })
}

// writing are the recordings whose files are not closed.
func (c *Call) writing() []*Recording {
	return c.recordsBefore(func(r *Recording) <-chan struct{} { return r.closed })
}

func (c *Call) recordsBefore(point func(*Recording) <-chan struct{}) []*Recording {
	var list []*Recording
	for _, r := range c.records {
		select {
		case <-point(r):
		default:
			list = append(list, r)
		}
	}
	return list
}

// stopRecord ends a recording. It runs on the goroutine of the call.
func (c *Call) stopRecord(r *Recording, by string) {
	if !r.halt(by) {
		return
	}
	c.engine.cfg.Observer.RecordChanged(r.Snapshot())
}

func (r *Recording) attach() {
	if s := r.call.a.stream.Load(); s != nil && r.remove == nil {
		out := r.heardOut
		if r.opts.CallerOnly {
			out = nil
		}
		r.remove = s.Tap(r.heardIn, out)
	}
}

// heardIn and heardOut take the two directions of one tick, in this order.
func (r *Recording) heardIn(frame []int16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opts.CallerOnly {
		r.push(frame, nil)
		return
	}
	r.in = append(r.in[:0], frame...)
}

func (r *Recording) heardOut(frame []int16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.push(r.in, frame)
	r.in = r.in[:0]
}

// push adds a frame to the time line. When the disk is behind the frame is lost, and its time becomes silence.
func (r *Recording) push(left, right []int16) {
	n := max(len(left), len(right))
	if r.stopped || n == 0 || r.waiting+n > recordBuffer {
		return
	}
	r.pad(r.now()-audio.Duration(n), recordSlack)
	if len(r.chunks) == 0 {
		r.chunks = append(r.chunks, chunk{})
	}
	last := &r.chunks[len(r.chunks)-1]
	last.left = append(last.left, left...)
	last.right = append(last.right, right...)
	if !r.opts.CallerOnly { // both sides of a tick are as long as each other
		last.left = append(last.left, make([]int16, n-len(left))...)
		last.right = append(last.right, make([]int16, n-len(right))...)
	}
	r.waiting += n
	r.total += n
	if r.waiting >= recordChunk {
		r.poke()
	}
}

func (r *Recording) now() time.Duration { return r.call.engine.cfg.Clock.Now() - r.start }

// pad brings the time line up to a time when it lags by more than slack.
func (r *Recording) pad(to, slack time.Duration) {
	missing := audio.Samples(to) - r.total
	if missing <= audio.Samples(slack) {
		return
	}
	r.chunks = append(r.chunks, chunk{gap: missing})
	r.total += missing
}

func (r *Recording) poke() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// halt ends the time line; false when it had ended.
func (r *Recording) halt(by string) bool {
	r.mu.Lock()
	if r.stopped {
		r.mu.Unlock()
		return false
	}
	r.pad(r.now(), recordSlack)
	r.stopped = true
	r.snap.EndedBy, r.snap.State = by, RecordProcessing
	r.snap.Duration = audio.Duration(r.total)
	r.mu.Unlock()
	r.timer.Stop()
	if r.remove != nil {
		r.remove()
	}
	close(r.ended)
	return true
}

// Snapshot copies what is known of the recording.
func (r *Recording) Snapshot() Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snap
}

// Ended is closed when the recording ended, by itself or by Stop.
func (r *Recording) Ended() <-chan struct{} { return r.ended }

// Stop ends the recording, says by whom, and waits until the sound is safe. On one that ended before it gives the facts of that end.
// Errors: ErrNothingRecorded (shorter than Min, thrown away), ErrRecordFailed.
func (r *Recording) Stop(by string) (Record, error) {
	r.call.do(func() { r.call.stopRecord(r, by) })
	select {
	case <-r.closed:
	case <-r.call.engine.kill.Done():
		select {
		case <-r.closed:
		default:
			return r.Snapshot(), ErrRecordFailed // the disk does not answer and the server stops
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snap, r.err
}
