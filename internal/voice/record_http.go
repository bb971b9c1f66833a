package voice

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

// Converting a recording to its other format.
const (
	convertTime = 2 * time.Minute
	converter   = "ffmpeg"
)

func (s *Service) recordRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: "/rest/record/" + path, Tag: "Record", Summary: summary, Auth: httpapi.User}
	}
	httpapi.Handle(a, op("GetRecord", "GET", "{uuid}", "Read a recording's facts"), s.getRecord)
	httpapi.Handle(a, op("RemoveRecord", "DELETE", "{uuid}", "Erase the sound of a recording"), s.removeRecord)
	s.transcriptRoutes(a)
	for _, format := range []string{"wav", "mp3"} {
		audio := op("GetRecordAudio"+strings.ToUpper(format[:1])+format[1:], "GET", "{uuid}."+format, "Read a recording's sound, with credentials or a signed URL")
		audio.Auth, audio.Produces = httpapi.Optional, contentType(format)
		httpapi.HandleRaw(a, audio, func(w http.ResponseWriter, r *http.Request, in *signedKey) error {
			return s.recordAudio(w, r, in, format)
		})
	}
}

func contentType(format string) string {
	if format == "mp3" {
		return "audio/mpeg"
	}
	return "audio/wav"
}

type recordKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (s *Service) getRecord(ctx context.Context, in *recordKey) (recordWire, error) {
	r, err := recordOf(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return recordWire{}, err
	}
	return s.wireRecord(&r), nil
}

func (s *Service) removeRecord(ctx context.Context, in *recordKey) (recordWire, error) {
	r, err := s.RemoveRecord(ctx, httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return recordWire{}, err
	}
	return s.wireRecord(&r), nil
}

func (s *Service) recordAudio(w http.ResponseWriter, r *http.Request, in *signedKey, format string) error {
	account, err := s.owner(r.Context(), recordPath(in.UUID, format), in.Sig)
	if err != nil {
		return err
	}
	rec, err := recordOf(r.Context(), s.db.Read(), account, in.UUID)
	if err != nil {
		return err
	}
	switch {
	case rec.State == recordDeleted || rec.State == recordFailed:
		return fault.Missing("Record")
	case rec.State != recordAvailable || s.cfg.Blob == nil:
		return fault.Newf(fault.Conflict, "Record is not ready")
	}
	sound, err := s.sound(r.Context(), &rec, format)
	if err != nil {
		return err
	}
	defer sound.Close()
	w.Header().Set("Content-Type", contentType(format))
	w.Header().Set("Content-Disposition", `inline; filename="`+rec.ID+"."+format+`"`)
	w.Header().Set("Cache-Control", "private, max-age=3600")
	http.ServeContent(w, r, "", rec.AvailableOn, sound)
	return nil
}

// sound opens a recording in a format; one that is not kept is made now.
func (s *Service) sound(ctx context.Context, rec *Record, format string) (io.ReadSeekCloser, error) {
	f, _, err := s.cfg.Blob.Open(ctx, rec.Key)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", rec.ID, err)
	}
	if strings.HasSuffix(rec.Key, "."+format) {
		return f, nil
	}
	defer f.Close()
	b, err := convert(ctx, f, format)
	if err != nil {
		return nil, err
	}
	return memory{bytes.NewReader(b)}, nil
}

// memory is a sound that was made for one answer.
type memory struct{ *bytes.Reader }

// Close implements io.Closer.
func (memory) Close() error { return nil }

// convert makes the other format of a sound.
func convert(ctx context.Context, f io.Reader, format string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, convertTime)
	defer cancel()
	args := []string{"-hide_banner", "-loglevel", "error", "-nostdin", "-i", "pipe:0", "-f", format}
	if format == "mp3" {
		args = append(args, "-b:a", "64k")
	}
	cmd := exec.CommandContext(ctx, converter, append(args, "pipe:1")...)
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, &out, &complaint
	if err := cmd.Run(); err != nil {
		e := fault.Newf(fault.Unavailable, "this server cannot make %s files", format)
		e.Cause = fmt.Errorf("%s: %w: %s", converter, err, complaint.String())
		return nil, e
	}
	return out.Bytes(), nil
}
