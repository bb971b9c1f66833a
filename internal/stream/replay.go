package stream

import (
	"context"

	"github.com/opentact/opentact/internal/event"
)

// replayJob sends what a client missed: rows of the log after a cursor, then live ones, without gap or double. While it runs, live rows are not queued; they
// only tell how far the log has grown, and the job reads on until it has caught up.
type replayJob struct {
	after int64
}

// run is called by the writer; false means that the connection is gone.
func (j *replayJob) run(ctx context.Context, s *socket) bool {
	last := j.after
	for {
		rows, err := s.gate.events.Read(ctx, event.Query{Account: s.who.Account, After: last, Limit: replayChunk})
		if err != nil {
			s.gate.log.Warn("replay events", "error", err)
			s.end(closeRestart, "log not readable")
			return true
		}
		for _, r := range rows {
			answers, wanted, superseded := s.chosen(r)
			for _, f := range answers {
				if !s.send(ctx, f) {
					return false
				}
			}
			if superseded {
				return true
			}
			if wanted && !s.sendRow(ctx, r) {
				return false
			}
			last = r.Seq
		}
		if len(rows) == 0 && s.caughtUp(last) {
			return true
		}
	}
}

// chosen decides on a row of the log. Answers to frames that came meanwhile go out first, since they may have changed the choice; a newer subscribe frame with
// a cursor starts over with a job of its own.
func (s *socket) chosen(r event.Row) (answers [][]byte, wanted, superseded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answers, s.frames = s.frames, nil
	if s.replay != nil {
		return answers, false, true
	}
	s.place = r.Seq
	return answers, s.wants(r), false
}

// caughtUp switches to live rows, unless one came in between that the last read did not show.
func (s *socket) caughtUp(last int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code != 0 || s.replay != nil { // at its end, or a newer subscribe frame starts over
		return true
	}
	if s.latest > last { // it was relayed, so it is committed: the next read shows it
		return false
	}
	s.replaying, s.after = false, last
	return true
}
