package voice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/speech"
	"github.com/opentact/opentact/internal/voice/call"
	"github.com/opentact/opentact/internal/voice/flow"
)

// Limits of sounds that documents name.
const (
	maxMedia      = 20 << 20
	longestMedia  = 10 * time.Minute
	mediaTimeout  = 10 * time.Second
	longestRecord = 4 * time.Hour
	notModified   = 304
)

// recordLimits bound recordings of our own.
var recordLimits = audio.Limits{MaxBytes: 1 << 30, MaxDuration: longestRecord}

// voices speaks for call XML, at the account's cost.
type voices struct {
	s   *Service
	leg call.Leg
}

// Speak implements flow.Voices.
func (v voices) Speak(ctx context.Context, r flow.SayRequest) ([]int16, string, error) {
	if v.s.cfg.Speech == nil {
		return nil, "", flow.ErrTTS
	}
	samples, voice, err := v.s.cfg.Speech.Speak(ctx, spoken(r))
	switch {
	case errors.Is(err, speech.ErrNoText):
		err = flow.ErrNoText
	case errors.Is(err, speech.ErrUnknownVoice), errors.Is(err, speech.ErrUnknownLanguage):
		err = flow.ErrUnknownVoice
	case err != nil && ctx.Err() == nil:
		v.s.log.Warn("speech engine", "error", err)
		err = flow.ErrTTS
	case err == nil && !r.Free:
		err = v.s.chargeSpeech(ctx, &v.leg, utf8.RuneCountInString(r.Text))
	}
	return samples, voice.Code, err
}

// spoken is a request of call XML as the engines take it.
func spoken(r flow.SayRequest) speech.Request {
	return speech.Request{Text: r.Text, Code: r.Code, Lang: r.Lang, Gender: r.Gender, Type: r.Type}
}

// fetcher makes the HTTP requests of call XML.
type fetcher struct {
	s       *Service
	account string // whose document it is
	secret  string // signs what asks to be signed; "" does not
}

// Fetch implements flow.Fetcher.
func (f fetcher) Fetch(ctx context.Context, r flow.FetchRequest) (flow.FetchAnswer, error) {
	header := map[string][]string{}
	for k, v := range r.Headers {
		header[k] = []string{v}
	}
	if r.ContentType != "" {
		header["Content-Type"] = []string{r.ContentType}
	}
	if r.Signed && f.secret != "" {
		header = signedHeader(header, f.secret, ident.New(), f.s.now(), r.Body)
	}
	a, err := f.s.cfg.Fetch.Do(ctx, fetch.Request{Method: r.Method, URL: r.URL, Header: header, Body: r.Body, Timeout: r.Timeout, RedirectLimit: fetch.MaxRedirects, MaxBody: r.Limit})
	if err != nil {
		if fetch.KindOf(err) == fetch.Timeout {
			return flow.FetchAnswer{}, fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
		if !a.Attempt.Sent {
			return flow.FetchAnswer{}, fmt.Errorf("%w: %w", flow.ErrConnect, err)
		}
		return flow.FetchAnswer{}, err
	}
	out := flow.FetchAnswer{Status: a.Status, Header: map[string]string{}, Body: a.Body}
	for k, v := range a.Header {
		if len(v) > 0 {
			out.Header[k] = v[0]
		}
	}
	out.ContentType = out.Header["Content-Type"]
	return out, nil
}

// Media implements flow.Fetcher. Recordings of this server are read from the store, whoever plays them has a signed URL.
func (f fetcher) Media(ctx context.Context, url string) ([]int16, error) {
	if id, ok := f.s.ownRecord(url); ok {
		r, err := recordOf(ctx, f.s.db.Read(), "", id)
		if err != nil {
			return nil, flow.ErrMediaMissing
		}
		return f.s.samples(ctx, r.Key)
	}
	return f.remote(ctx, url)
}

// remote gives the sound of a customer's server, from memory as long as that allows.
func (f fetcher) remote(ctx context.Context, url string) ([]int16, error) {
	r := fetch.Request{URL: url, Timeout: mediaTimeout, RedirectLimit: fetch.MaxRedirects, MaxBody: maxMedia}
	kept, known := f.s.sounds.get(f.account + " " + url)
	if known && f.s.now().Before(kept.until) {
		return kept.samples, nil
	}
	if known && kept.etag != "" {
		r.Header = map[string][]string{"If-None-Match": {kept.etag}}
	}
	a, err := f.s.cfg.Fetch.Do(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", flow.ErrMediaMissing, err)
	}
	if known && a.Status == notModified {
		f.s.sounds.keep(kept, a.Header, f.s.now())
		return kept.samples, nil
	}
	if a.Status < 200 || a.Status > 299 || a.Truncated {
		return nil, flow.ErrMediaMissing
	}
	samples, err := audio.DecodeFile(bytes.NewReader(a.Body), audio.Limits{MaxBytes: maxMedia, MaxDuration: longestMedia})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", flow.ErrMediaUnplayable, err)
	}
	f.s.sounds.keep(sound{key: f.account + " " + url, samples: samples}, a.Header, f.s.now())
	return samples, nil
}

// ownRecord tells the recording that a signed URL of this server names.
func (s *Service) ownRecord(url string) (id string, ok bool) {
	rest, own := strings.CutPrefix(url, s.cfg.APIURL+"/rest/record/")
	name, query, signed := strings.Cut(rest, "?sig=")
	id, format, dotted := strings.Cut(name, ".")
	return id, own && signed && dotted && s.signed(recordPath(id, format), query)
}

// Samples implements flow.Recordings.
func (r *recordings) Samples(ctx context.Context, tag string) ([]int16, error) {
	rec, err := r.await(ctx, tag)
	if err != nil {
		return nil, err
	}
	return r.s.samples(ctx, rec.BlobKey)
}

// samples reads a recording as mono.
func (s *Service) samples(ctx context.Context, key string) ([]int16, error) {
	if s.cfg.Blob == nil || key == "" {
		return nil, flow.ErrNoRecord
	}
	f, _, err := s.cfg.Blob.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", flow.ErrNoRecord, err)
	}
	defer f.Close()
	samples, err := audio.DecodeFile(f, recordLimits)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", flow.ErrRecordFailed, err)
	}
	return samples, nil
}
