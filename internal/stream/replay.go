package stream

import (
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/stream/frame"
)

// replayJob sends what a client missed: rows of the log after a cursor, then live ones, without gap or double. While it runs, live rows are not queued; they
// only tell how far the log has grown, and the job reads on until it has caught up.
type replayJob struct {
	after int64
}

// run is called by the writer.
func (j *replayJob) run(s *socket) {
	last := j.after
	for {
		rows, err := s.gate.events.Read(s.gate.ctx, event.Query{Account: s.who.Account, After: last, Limit: replayChunk})
		if err != nil {
			if s.gate.ctx.Err() == nil {
				s.gate.log.Warn("replay events", "error", err)
			}
			s.end(closeRestart, "log not readable")
			return
		}
		if len(rows) == 0 && s.caughtUp(last) {
			return
		}
		for len(rows) > 0 {
			some, over := j.some(s, &rows)
			if !s.send(some.frames) {
				s.shut()
				return
			}
			s.noted(some.last)
			if over {
				return
			}
			last = some.place
		}
	}
}

// stretch is a part of the replay that is written at once.
type stretch struct {
	frames [][]byte
	place  int64 // of the last row decided on
	last   int64 // of the last event among the frames; zero: none
	bytes  int
}

// some decides on the next rows and takes them off; over says that there is nothing to go on with: the socket ends or a newer frame starts over.
func (j *replayJob) some(s *socket, rows *[]event.Row) (out stretch, over bool) {
	for len(*rows) > 0 && len(out.frames) < maxWrite && out.bytes < maxWriteBytes {
		r := (*rows)[0]
		answers, wanted, over := s.chosen(r)
		out.frames = append(out.frames, answers...)
		if over {
			return out, true
		}
		if wanted {
			f := frame.Append(make([]byte, 0, len(r.Body)+10), frame.Text, r.Body)
			out.frames = append(out.frames, f)
			out.bytes += len(f)
			out.last = r.Seq
		}
		out.place = r.Seq
		*rows = (*rows)[1:]
	}
	return out, false
}

// noted remembers the last event that was sent.
func (s *socket) noted(seq int64) {
	if seq == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = seq
}

// chosen decides on a row of the log. Answers to frames that came meanwhile go out first, since they may have changed the choice; a newer subscribe frame with
// a cursor starts over with a job of its own.
func (s *socket) chosen(r event.Row) (answers [][]byte, wanted, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code != 0 || s.cut {
		return nil, false, true
	}
	answers = s.asides()
	if s.replay != nil {
		return answers, false, true
	}
	s.place = r.Seq
	return answers, s.wants(r, s.gate.now()), false
}

// caughtUp switches to live rows, unless one came in between that the last read did not show.
func (s *socket) caughtUp(last int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code != 0 || s.cut || s.replay != nil { // at its end, or a newer subscribe frame starts over
		return true
	}
	if s.latest > last { // it was relayed, so it is committed: the next read shows it
		return false
	}
	s.replaying, s.after = false, last
	return true
}
