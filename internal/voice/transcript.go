package voice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/speech"
	"github.com/opentact/opentact/internal/voice/flow"
)

// Limits of transcripts.
const (
	transcriptQueue    = "voice.transcript"
	transcriptTime     = 70 * time.Minute       // of one run: two channels of the longest recording that an engine takes
	transcriptRetry    = 10 * time.Second       // when storage is away
	transcriptPoll     = 250 * time.Millisecond // of a document that waits for one: the job may run on another node
	phrasePause        = 700 * time.Millisecond // a longer one ends a segment
	transcriptLanguage = "en-US"
)

// States of a transcript.
const (
	transcriptNone      = "none"
	transcriptPending   = "pending"
	transcriptAvailable = "available"
	transcriptFailed    = "failed"
)

// Transcript is what is known of a record's transcript besides its state and its text, as it is stored.
type Transcript struct {
	ID       string    `json:"uuid"`
	Lang     string    `json:"language"`
	Engine   string    `json:"engine"`
	Reason   string    `json:"reason"`
	Segments []segment `json:"segments"`
	Created  time.Time `json:"created_on"`
	Modified time.Time `json:"modified_on"`
}

// segment is a phrase of a transcript; times in seconds.
type segment struct {
	Start      float64 `json:"start"`
	End        float64 `json:"end"`
	Channel    int     `json:"channel"`
	Text       string  `json:"text"`
	Confidence float64 `json:"confidence"`
}

// transcriptJob is the payload of a job.
type transcriptJob struct {
	Record     string `json:"record"`
	Transcript string `json:"transcript"` // a later one of the record has a job of its own
}

// ask notes that a transcript is wanted.
func (r *Record) ask(lang string, now time.Time) {
	r.TranscriptState, r.Text = transcriptPending, ""
	r.Transcript = &Transcript{ID: ident.New(), Lang: cmp.Or(lang, transcriptLanguage), Segments: []segment{}, Created: now, Modified: now}
}

// waitsFor tells whether the job is the one that the record waits for.
func (r *Record) waitsFor(id string) bool {
	return r.State == recordAvailable && r.TranscriptState == transcriptPending && r.Transcript != nil && r.Transcript.ID == id
}

// AskTranscript has a recording understood, unless that is under way or done. A 404 for one without sound, fault.Conflict for one that is not ready.
func (s *Service) AskTranscript(ctx context.Context, account, id, lang string) (Record, error) {
	var out Record
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		r, err := recordOf(ctx, tx, account, id)
		switch {
		case err != nil:
			return err
		case r.underWay():
			return fault.Newf(fault.Conflict, "Record is not ready")
		case r.State != recordAvailable:
			return fault.Missing("Record")
		case r.TranscriptState == transcriptPending || r.TranscriptState == transcriptAvailable:
			return fault.Newf(fault.Conflict, "A transcript was asked for already")
		}
		r.ask(lang, s.now())
		r.Modified = s.now()
		out = r
		if err := saveRecords(ctx, tx, []*Record{&r}); err != nil {
			return err
		}
		return s.orderTranscript(ctx, tx, &r)
	})
	return out, err
}

// orderTranscript enqueues the work in the transaction that makes the recording available, or asks for its transcript.
func (s *Service) orderTranscript(ctx context.Context, tx *db.Tx, r *Record) error {
	if s.cfg.Jobs == nil || r.TranscriptState != transcriptPending || r.Transcript == nil {
		return nil
	}
	_, err := s.cfg.Jobs.Enqueue(ctx, tx, jobs.New{Queue: transcriptQueue, Payload: transcriptJob{r.ID, r.Transcript.ID}})
	return err
}

// transcribe is the handler of the queue.
func (s *Service) transcribe(ctx context.Context, j jobs.Job) jobs.Outcome {
	var p transcriptJob
	if err := j.Decode(&p); err != nil {
		s.log.Error("transcript", "error", err)
		return jobs.Finished()
	}
	r, err := recordOf(ctx, s.db.Read(), "", p.Record)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && !r.waitsFor(p.Transcript):
		return jobs.Finished()
	case err != nil:
		return jobs.Again(s.now().Add(transcriptRetry), err)
	}
	heard, err := s.understand(ctx, &r)
	if err != nil {
		return jobs.Again(s.now().Add(transcriptRetry), err)
	}
	if err := s.keepTranscript(ctx, j, p, heard); err != nil {
		return jobs.Again(s.now().Add(transcriptRetry), err)
	}
	return jobs.Kept()
}

// understood is the result of the engine; a reason says that there is none.
type understood struct {
	engine, reason string
	segments       []segment
}

// keepTranscript stores the result and tells of it, in the transaction that ends the job. A record that was erased meanwhile keeps nothing.
func (s *Service) keepTranscript(ctx context.Context, j jobs.Job, p transcriptJob, result understood) error {
	var done *Record
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		done = nil
		heard := result
		r, err := recordOf(ctx, tx, "", p.Record)
		if err != nil {
			return err
		}
		if r.waitsFor(p.Transcript) {
			if err := s.chargeTranscript(ctx, tx, &r, &heard); err != nil {
				return err
			}
			r.hear(heard, s.now())
			if err := saveRecords(ctx, tx, []*Record{&r}); err != nil {
				return err
			}
			if err := s.reportTranscript(ctx, tx, &r); err != nil {
				return err
			}
			done = &r
		}
		return jobs.Done(ctx, tx, j.ID)
	})
	if err == nil && done != nil {
		s.journal.push(fact{root: done.Call, transcript: done})
	}
	return err
}

// hear takes over a result.
func (r *Record) hear(heard understood, now time.Time) {
	t := *r.Transcript
	t.Engine, t.Reason, t.Segments, t.Modified = heard.engine, heard.reason, heard.segments, now
	r.Transcript, r.Modified, r.TranscriptState = &t, now, transcriptAvailable
	if heard.reason != "" {
		r.TranscriptState, t.Segments = transcriptFailed, []segment{}
		return
	}
	texts := make([]string, len(heard.segments))
	for i := range heard.segments {
		texts[i] = heard.segments[i].Text
	}
	r.Text = strings.Join(texts, " ")
}

// reportTranscript appends the call_record event of a transcript.
func (s *Service) reportTranscript(ctx context.Context, tx *db.Tx, r *Record) error {
	c, err := legOf(ctx, tx, r.Account, r.Call)
	if err != nil {
		return err
	}
	v := s.viewer(tx)
	ch := change{leg: c}
	if ch.kin, err = kinOf(ctx, v, &c); err != nil {
		return err
	}
	whole, err := v.whole(ctx, &ch.leg, &ch.kin)
	if err != nil {
		return err
	}
	name, message := "transcript", fmt.Sprintf("Record %s: transcript available", r.ID)
	if r.TranscriptState == transcriptFailed {
		name, message = "transcript_failed", fmt.Sprintf("Record %s: transcript failed: %s", r.ID, r.Transcript.Reason)
	}
	payload := recordPayload{name, s.wireRecord(r), encode(wireTranscript(r))}
	return s.append(ctx, tx, v, &ch, event.Event{Type: CallRecordEvent, Message: message, Payload: payload}, event.Member{Name: "call", Value: whole})
}

// understand listens to a recording, channel by channel. The error says that it must be tried again.
func (s *Service) understand(ctx context.Context, r *Record) (understood, error) {
	if s.cfg.Speech == nil || !s.cfg.Speech.CanRecognize() {
		return understood{reason: "No speech engine"}, nil
	}
	channels := 1
	if r.Channels == "dual" {
		channels = 2
	}
	out := understood{segments: []segment{}}
	for channel := range channels {
		heard, err := s.listen(ctx, r, channel)
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		var missing *speech.MissingError
		switch {
		case err == nil:
		case errors.As(err, &missing):
			return understood{reason: "No speech engine"}, nil
		case errors.Is(err, speech.ErrUnknownLanguage):
			return understood{reason: "Language not understood"}, nil
		default:
			s.log.Warn("transcript", "record", r.ID, "error", err)
			return understood{reason: "Speech recognition failed"}, nil
		}
		out.engine = heard.Engine
		out.segments = append(out.segments, phrases(heard.Segments, channel)...)
	}
	slices.SortStableFunc(out.segments, func(a, b segment) int { return cmp.Compare(a.Start, b.Start) })
	return out, nil
}

// listen understands one channel.
func (s *Service) listen(ctx context.Context, r *Record, channel int) (speech.Transcript, error) {
	if s.cfg.Blob == nil || r.Key == "" {
		return speech.Transcript{}, flow.ErrNoRecord
	}
	f, _, err := s.cfg.Blob.Open(ctx, r.Key)
	if err != nil {
		return speech.Transcript{}, err
	}
	defer f.Close()
	samples, err := audio.DecodeChannel(f, recordLimits, channel)
	if err != nil {
		return speech.Transcript{}, err
	}
	return s.cfg.Speech.Recognize(ctx, samples, speech.RecognizeOptions{Lang: r.Transcript.Lang, Dictation: true})
}

// phrases joins words that follow each other closely; their confidence is the mean.
func phrases(words []speech.Segment, channel int) []segment {
	out := []segment{}
	n := 0 // words of the last one
	for i, w := range words {
		if i == 0 || w.Start-words[i-1].End > phrasePause {
			out = append(out, segment{Start: w.Start.Seconds(), Channel: channel})
			n = 0
		}
		last := &out[len(out)-1]
		last.End, last.Text = w.End.Seconds(), strings.TrimSpace(last.Text+" "+w.Text)
		last.Confidence = (last.Confidence*float64(n) + w.Confidence) / float64(n+1)
		n++
	}
	return out
}

// awaitTranscript waits for the text of a recording that a document may use.
func (s *Service) awaitTranscript(ctx context.Context, id string, asked bool) (string, error) {
	tick := time.NewTicker(transcriptPoll)
	defer tick.Stop()
	for {
		r, err := recordOf(ctx, s.db.Read(), "", id)
		switch {
		case err != nil && !fault.Is(err, fault.NotFound): // its row may not be written yet
			return "", err
		case r.TranscriptState == transcriptAvailable:
			return r.Text, nil
		case r.TranscriptState == transcriptFailed, r.State == recordDeleted, !asked && r.TranscriptState == transcriptNone:
			return "", flow.ErrRecordFailed
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}
