package rtp

import (
	"math/bits"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

const (
	ringSize     = 4096 // samples, 512 ms; a power of two, so that timestamps wrap with it
	samplesPerMs = 8
	frameSamples = audio.FrameSamples

	jitterWindow  = 100 // packets after which a delay that is too long is shortened
	jitterStrange = 3   // packets out of all reach before the timestamps are believed anew
	jitterIdle    = 50  // empty frames, one second, after which the delay is set anew
)

// fade is how loud the last frame is repeated for the first, second, ... frame
// that is missing, in 1/32.
var fade = [...]int32{24, 12, 4}

// jitter turns packets of any length that come in any order into 20 ms frames.
// Samples lie in a ring at their timestamp; a bit says that a sample is there.
// So reordering and duplicates need no care, and a lost packet is a hole.
//
// The delay adapts by one rule each way: a packet that comes too late makes
// playing wait for it, up to max; when no packet in a window needed the delay,
// a frame is left out.
type jitter struct {
	ring [ringSize]int16
	have [ringSize / 64]uint64

	target, max int32 // samples
	running     bool
	next        uint32 // timestamp of the next frame
	delay       int32  // samples that playing is behind the first packet
	last        [frameSamples]int16
	missing     int // frames in a row

	seen     int   // packets in this window
	minSlack int32 // how early the latest of them came, in samples
	strange  int

	late, concealed uint64
}

// reset forgets everything but the counters.
func (j *jitter) reset(target, limit time.Duration) {
	*j = jitter{
		target: int32(target.Milliseconds()) * samplesPerMs, max: int32(limit.Milliseconds()) * samplesPerMs,
		late: j.late, concealed: j.concealed,
	}
}

// restart makes the next packet the first.
func (j *jitter) restart() {
	j.running, j.strange, j.missing = false, 0, 0
	clear(j.have[:])
}

// push stores a packet of 8 kHz G.711.
func (j *jitter) push(ts uint32, payload []byte, law audio.Law) {
	n := int32(len(payload))
	if n == 0 || n > ringSize/4 {
		return
	}
	if !j.running {
		j.begin(ts)
	}
	slack := int32(ts - j.next)
	if slack < 0 && slack >= -j.max {
		slack = j.grow(slack)
	}
	if slack+n <= 0 || slack+n > ringSize {
		// Out of reach: a straggler, or the sender's timestamps jumped.
		if j.strange++; j.strange < jitterStrange {
			return
		}
		j.restart()
		j.begin(ts)
		slack = j.target
	}
	j.strange = 0
	j.adapt(slack)
	// What lies before next has been played already.
	skip := min(max(int32(j.next-ts), 0), n)
	j.store(ts+uint32(skip), payload[skip:], law)
}

func (j *jitter) begin(ts uint32) {
	j.running, j.next, j.delay = true, ts-uint32(j.target), j.target
	j.seen, j.minSlack = 0, ringSize
	j.missing = len(fade) // nothing is missing before the first packet
}

// grow makes playing wait for a late packet, by whole frames, and returns how
// early the packet is then.
func (j *jitter) grow(slack int32) int32 {
	j.late++
	frames := (-slack + frameSamples - 1) / frameSamples
	more := min(frames*frameSamples, (j.max-j.delay)/frameSamples*frameSamples)
	if more <= 0 {
		return slack
	}
	j.next -= uint32(more)
	j.delay += more
	return slack + more
}

// adapt shortens a delay that no packet of a whole window needed.
func (j *jitter) adapt(slack int32) {
	j.minSlack = min(j.minSlack, slack)
	if j.seen++; j.seen < jitterWindow {
		return
	}
	spare := j.minSlack - j.target
	j.seen, j.minSlack = 0, ringSize
	switch {
	case spare > j.max:
		j.drop(spare / frameSamples * frameSamples)
	case spare > frameSamples/2:
		j.drop(frameSamples)
	}
}

// drop leaves samples out.
func (j *jitter) drop(n int32) {
	j.mark(j.next, n, false)
	j.next += uint32(n)
	j.delay = max(j.delay-n, 0)
}

func (j *jitter) store(ts uint32, payload []byte, law audio.Law) {
	at := int(ts % ringSize)
	first := min(len(payload), ringSize-at)
	audio.DecodeLaw(law, j.ring[at:at+first], payload[:first])
	if rest := payload[first:]; len(rest) > 0 {
		audio.DecodeLaw(law, j.ring[:len(rest)], rest)
	}
	j.mark(ts, int32(len(payload)), true)
}

// mark sets or clears the bits of n samples, a word at a time.
func (j *jitter) mark(ts uint32, n int32, present bool) {
	for n > 0 {
		at := ts % ringSize
		bit := at % 64
		run := min(n, int32(64-bit))
		mask := (^uint64(0) >> (64 - uint(run))) << bit
		if present {
			j.have[at/64] |= mask
		} else {
			j.have[at/64] &^= mask
		}
		ts, n = ts+uint32(run), n-run
	}
}

// count is how many of the next frame's samples are there.
func (j *jitter) count() int {
	total := 0
	for ts, n := j.next, int32(frameSamples); n > 0; {
		at := ts % ringSize
		bit := at % 64
		run := min(n, int32(64-bit))
		mask := (^uint64(0) >> (64 - uint(run))) << bit
		total += bits.OnesCount64(j.have[at/64] & mask)
		ts, n = ts+uint32(run), n-run
	}
	return total
}

// pop gives the next 20 ms; what is missing is the faded last frame, then
// silence.
func (j *jitter) pop(frame []int16) {
	frame = frame[:frameSamples]
	if !j.running {
		clear(frame)
		return
	}
	switch n := j.count(); n {
	case frameSamples:
		j.copyTo(frame)
		copy(j.last[:], frame)
		j.missing = 0
	case 0:
		j.conceal(frame)
		if j.missing++; j.missing > jitterIdle {
			j.restart()
			return
		}
	default:
		j.conceal(frame)
		for i := range frame {
			at := (j.next + uint32(i)) % ringSize
			if j.have[at/64]&(1<<(at%64)) != 0 {
				frame[i] = j.ring[at]
			}
		}
		copy(j.last[:], frame)
		j.missing = 0
	}
	j.mark(j.next, frameSamples, false)
	j.next += frameSamples
}

func (j *jitter) copyTo(frame []int16) {
	at := int(j.next % ringSize)
	n := copy(frame, j.ring[at:])
	copy(frame[n:], j.ring[:])
}

func (j *jitter) conceal(frame []int16) {
	if j.missing >= len(fade) {
		clear(frame)
		return
	}
	j.concealed++
	gain := fade[j.missing]
	for i := range frame {
		frame[i] = int16(int32(j.last[i]) * gain / 32)
	}
}
