package voice

import (
	"context"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

func (s *Service) transcriptRoutes(a *httpapi.API) {
	op := func(id, method, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: "/rest/record/{uuid}/transcript", Tag: "Record", Summary: summary, Auth: httpapi.User}
	}
	httpapi.Handle(a, op("GetTranscript", "GET", "Read a recording's transcript"), s.getTranscript)
	made := op("CreateTranscript", "POST", "Have a recording understood")
	made.Status = 201
	httpapi.Handle(a, made, s.createTranscript)
}

// transcriptShown is Transcript.
type transcriptShown struct {
	UUID     string    `json:"uuid"`
	Record   string    `json:"record"`
	State    string    `json:"state"`
	Language string    `json:"language"`
	Text     *string   `json:"text"`
	Segments []segment `json:"segments"`
	Engine   string    `json:"engine"`
	Reason   *string   `json:"reason"`
	stamps
}

// wireTranscript shows the transcript of a record that has one.
func wireTranscript(r *Record) transcriptShown {
	t := r.Transcript
	return transcriptShown{
		UUID: t.ID, Record: r.ID, State: r.TranscriptState, Language: t.Lang, Text: text(r.Text), Segments: t.Segments, Engine: t.Engine, Reason: text(t.Reason),
		stamps: stamps{on(t.Created), on(t.Modified)},
	}
}

func (s *Service) getTranscript(ctx context.Context, in *recordKey) (transcriptShown, error) {
	r, err := recordOf(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return transcriptShown{}, err
	}
	if r.Transcript == nil {
		return transcriptShown{}, fault.Newf(fault.NotFound, "No transcript was asked for")
	}
	return wireTranscript(&r), nil
}

type transcriptNew struct {
	recordKey
	Language string `json:"language" pattern:"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$" maxLength:"35" default:"en-US" doc:"BCP-47"`
}

func (s *Service) createTranscript(ctx context.Context, in *transcriptNew) (transcriptShown, error) {
	r, err := s.AskTranscript(ctx, httpapi.Who(ctx).Account, in.UUID, in.Language)
	if err != nil {
		return transcriptShown{}, err
	}
	return wireTranscript(&r), nil
}
