package rtp

import (
	"io"
	"sync"

	"github.com/opentact/opentact/internal/audio"
)

// Pipe is a bounded queue of frames between a sink and a source: pass Write to
// SetSink and the pipe itself to Play, and the caller hears itself. When full
// the oldest frame is dropped, so that the delay stays bounded.
type Pipe struct {
	mu     sync.Mutex
	frames [][audio.FrameSamples]int16
	head   int
	n      int
	closed bool
	lost   uint64
}

// NewPipe makes a pipe of that many frames of 20 ms, at least one.
func NewPipe(frames int) *Pipe {
	return &Pipe{frames: make([][audio.FrameSamples]int16, max(frames, 1))}
}

// Write appends a frame; a short one is filled with silence. After Close it
// does nothing.
func (p *Pipe) Write(frame []int16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.n == len(p.frames) {
		p.head = (p.head + 1) % len(p.frames)
		p.n--
		p.lost++
	}
	slot := &p.frames[(p.head+p.n)%len(p.frames)]
	clear(slot[copy(slot[:], frame):])
	p.n++
}

// ReadFrame implements audio.Source: n is 0 while the pipe is empty, and the
// error io.EOF once it is closed and empty.
func (p *Pipe) ReadFrame(dst []int16) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 {
		clear(dst)
		if p.closed {
			return 0, io.EOF
		}
		return 0, nil
	}
	n = copy(dst, p.frames[p.head][:])
	clear(dst[n:])
	p.head = (p.head + 1) % len(p.frames)
	p.n--
	return n, nil
}

// Close ends the pipe for the writer; the reader still gets what is in it.
func (p *Pipe) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// Lost is how many frames were dropped.
func (p *Pipe) Lost() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}
