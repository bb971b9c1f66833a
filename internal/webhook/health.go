package webhook

import "time"

// Health is how an endpoint answers. It is a value: after gives the next one, and nothing else changes it.
type Health struct {
	Fails        int       // attempts that failed since the last success
	FailingSince time.Time // the first of them
	LastSuccess  time.Time
	LastFailure  time.Time
	LastTry      string    // delivery of the last failure
	ProbeOn      time.Time // of the next attempt while the endpoint takes nothing
	ReleasedOn   time.Time // what was not tried since then goes at once, in the order of the log
	SlowUntil    time.Time
	Pace         time.Duration // between two attempts until SlowUntil
	PacedOn      time.Time     // of the next attempt until SlowUntil
}

// open tells that the endpoint takes nothing and gets one request at a time.
func (h Health) open() bool { return h.Fails >= breakAfter }

// slowAnswers ask for fewer requests.
var slowAnswers = map[int]bool{429: true, 502: true, 503: true, 504: true}

// after gives the health after an attempt.
func (h Health) after(r result, now time.Time) Health {
	if r.o.good() {
		if h.open() {
			h.ReleasedOn = now // what waited for its next try need not wait any longer
		}
		h.Fails, h.FailingSince, h.ProbeOn, h.LastTry, h.LastSuccess = 0, time.Time{}, time.Time{}, "", now
		return h
	}
	h.Fails++
	h.LastFailure, h.LastTry = now, r.d.id
	if h.FailingSince.IsZero() {
		h.FailingSince = r.d.started
	}
	if h.open() {
		h.ReleasedOn, h.ProbeOn = time.Time{}, now
		if !r.d.extra() { // the one for whose sake an older one was tried first follows at once
			h.ProbeOn = now.Add(probeWait(h.Fails))
		}
		h.ProbeOn = later(h.ProbeOn, r.o.later)
	}
	if slowAnswers[r.o.status] {
		if now.After(h.SlowUntil) {
			h.Pace = max(r.d.gap, 0)
		}
		if h.Pace = min(2*h.Pace, slowest); h.Pace == 0 { // too few attempts to tell a rate
			h.Pace = slowest / laneWidth
		}
		h.SlowUntil = now.Add(slowFor)
	}
	return h
}

// probeWait grows with the failures of an endpoint that takes nothing.
func probeWait(fails int) time.Duration {
	wait := probeFirst
	for range fails - breakAfter {
		if wait *= 2; wait >= probeMost {
			return probeMost
		}
	}
	return wait
}

// allowance tells how many attempts may start now at a reduced rate, at most n, and when the next one may.
func (h Health) allowance(n int, now time.Time) (int, time.Time) {
	if !now.Before(h.SlowUntil) || h.Pace <= 0 {
		return n, h.PacedOn
	}
	next := h.PacedOn
	if late := now.Add(-time.Second); next.Before(late) {
		next = late // what was not used is gone after a second
	}
	if next.After(now) {
		return 0, next
	}
	return min(n, 1+int(now.Sub(next)/h.Pace)), next
}
