package call

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/blob"
)

// write is the goroutine of a recording: it brings the time line to the disk until it ends. The file is readable at any time, so that
// a crash leaves what was said until then.
func (r *Recording) write() {
	ctx := context.WithoutCancel(r.call.ctx) // a recording outlives the call by its last seconds
	file, sink, err := r.open(ctx)
	silence := audio.SilenceDetector{}
	for over := false; !over; {
		select {
		case <-r.wake:
		case <-r.ended:
			over = true
		}
		for _, k := range r.take() {
			if err == nil {
				err = sink.chunk(k)
			}
			if !over && r.opts.Silence > 0 && quiet(&silence, k) >= r.opts.Silence {
				r.call.inbox.post(func() { r.call.stopRecord(r, EndedBySilence) })
			}
		}
	}
	r.finish(ctx, file, sink, err)
}

func (r *Recording) take() []chunk {
	r.mu.Lock()
	defer r.mu.Unlock()
	chunks := r.chunks
	r.chunks, r.waiting = nil, 0
	return chunks
}

func (r *Recording) open(ctx context.Context) (*blob.File, *sink, error) {
	file, err := r.call.engine.cfg.Blob.Create(ctx, r.Snapshot().BlobKey)
	if err != nil {
		return nil, nil, err
	}
	channels := 1
	if r.opts.Channels == "dual" {
		channels = 2
	}
	wav, err := audio.NewWAVWriter(file, channels)
	if err != nil {
		file.Abort()
		return nil, nil, err
	}
	return file, &sink{wav: wav, channels: channels, trim: r.opts.Trim}, nil
}

// finish closes the file and tells the call what has become of the recording.
func (r *Recording) finish(ctx context.Context, file *blob.File, s *sink, err error) {
	final := r.Snapshot()
	if file != nil {
		defer file.Abort() // does nothing after Close
		err = errors.Join(err, s.close())
		final.Duration = s.wav.Duration()
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrRecordFailed, err)
	case r.opts.Min > 0 && final.Duration < r.opts.Min:
		err = ErrNothingRecorded
	default:
		if err = file.Close(); err == nil {
			final.Size, final.SHA256, err = r.sum(ctx, final.BlobKey)
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrRecordFailed, err)
		}
	}
	if err != nil && file != nil {
		file.Abort() // before anybody hears of it
	}
	if err == nil && final.Format == "mp3" {
		r.call.do(func() { r.settle(final, nil); r.call.cleanA() })
		final = r.convert(final)
	}
	r.conclude(final, err)
}

// settle makes the facts of the file known and lets those go on who wait for them. It runs on the goroutine of the call.
func (r *Recording) settle(final Record, err error) {
	r.mu.Lock()
	r.snap, r.err = final, err
	r.mu.Unlock()
	select {
	case <-r.closed: // by a conversion
	default:
		close(r.closed)
	}
}

// conclude tells the last state of the recording.
func (r *Recording) conclude(final Record, err error) {
	c := r.call
	now := c.engine.cfg.Now()
	switch {
	case err == nil:
		final.State, final.AvailableOn = RecordAvailable, now
	case errors.Is(err, ErrNothingRecorded):
		final.State, final.Reason, final.BlobKey = RecordFailed, "Nothing recorded", ""
	default:
		final.State, final.Reason, final.BlobKey = RecordFailed, "internal", ""
		c.engine.cfg.Logger.Error("recording failed", "record", final.ID, "call", final.Leg, "error", err)
	}
	c.do(func() { // runs: the goroutine of the call does not end before its recordings
		c.records = slices.DeleteFunc(c.records, func(other *Recording) bool { return other == r })
		r.settle(final, err)
		c.engine.cfg.Observer.RecordChanged(final)
		c.cleanA()
	})
}

// sum reads the file once more: its header was written last.
func (r *Recording) sum(ctx context.Context, key string) (int64, string, error) {
	f, size, err := r.call.engine.cfg.Blob.Open(ctx, key)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}

// converters turn a WAV on their input into an MP3 of 64 kbit/s on their output; the first that is installed is taken. 16 kHz, because
// many players, ours among them, read no MPEG 2.5.
var converters = [][]string{
	{"lame", "--quiet", "-b", "64", "--resample", "16", "-", "-"},
	{"ffmpeg", "-v", "error", "-nostdin", "-f", "wav", "-i", "pipe:0", "-ar", "16000", "-codec:a", "libmp3lame", "-b:a", "64k", "-f", "mp3", "pipe:1"},
}

// convert replaces the WAV by an MP3. When that is not possible the WAV stays: the other form can be made later, the sound cannot.
func (r *Recording) convert(rec Record) Record {
	e := r.call.engine
	ctx, cancel := context.WithTimeout(e.kill, convertLimit)
	defer cancel()
	wav := rec.BlobKey
	mp3 := strings.TrimSuffix(wav, ".wav") + ".mp3"
	size, sum, err := runConverter(ctx, e.cfg.Blob, wav, mp3)
	if err != nil {
		e.cfg.Logger.Warn("recording stays wav", "record", rec.ID, "error", err)
		rec.Format = "wav"
		return rec
	}
	rec.BlobKey, rec.Size, rec.SHA256 = mp3, size, sum
	if err := e.cfg.Blob.Delete(ctx, wav); err != nil {
		e.cfg.Logger.Warn("wav of a recording stays", "record", rec.ID, "error", err)
	}
	return rec
}

func runConverter(ctx context.Context, store Blob, wav, mp3 string) (int64, string, error) {
	in, _, err := store.Open(ctx, wav)
	if err != nil {
		return 0, "", err
	}
	defer in.Close()
	var cmd *exec.Cmd
	for _, words := range converters {
		if path, err := exec.LookPath(words[0]); err == nil {
			cmd = exec.CommandContext(ctx, path, words[1:]...)
			break
		}
	}
	if cmd == nil {
		return 0, "", errors.New("neither lame nor ffmpeg is installed")
	}
	cmd.Stdin = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	ended := false
	// The object appears only when the converter has ended well.
	size, sum, err := store.Put(ctx, mp3, readerFunc(func(b []byte) (int, error) {
		n, err := out.Read(b)
		if err == io.EOF && n == 0 {
			ended = true
			if failed := cmd.Wait(); failed != nil {
				return 0, fmt.Errorf("converter: %w", failed)
			}
		}
		return n, err
	}))
	if !ended {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return size, sum, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
