package call

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/blob"
	"github.com/opentact/opentact/internal/sip"
)

// wav reads a recording back.
func (w *world) wav(t testing.TB, r Record) (channels [][]int16, raw []byte) {
	t.Helper()
	f, size, err := w.store.Open(bg, r.BlobKey)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err = io.ReadAll(f)
	if err != nil || int64(len(raw)) != size || size != r.Size {
		t.Fatalf("%d bytes, store says %d, record says %d: %v", len(raw), size, r.Size, err)
	}
	sum := sha256.Sum256(raw)
	if hex.EncodeToString(sum[:]) != r.SHA256 {
		t.Error("another checksum")
	}
	n := int(binary.LittleEndian.Uint16(raw[22:]))
	channels = make([][]int16, n)
	for i := 44; i+1 < len(raw); i += 2 {
		c := (i - 44) / 2 % n
		channels[c] = append(channels[c], int16(binary.LittleEndian.Uint16(raw[i:])))
	}
	return channels, raw
}

// share is how much of the sound of a channel is at a frequency.
func share(samples []int16, hz float64) float64 {
	var best float64
	for at := 0; at+1600 <= len(samples); at += 1600 {
		if part := samples[at : at+1600]; audio.Level(part) > -40 {
			best = max(best, audio.ToneLevel(part, hz))
		}
	}
	return best
}

// recorded runs one call with a recording while caller and platform hum, and gives what came of it.
func recorded(t *testing.T, o RecordOptions, lasting time.Duration) (*world, Record, error) {
	t.Helper()
	type outcome struct {
		rec Record
		err error
	}
	got := make(chan outcome, 1)
	heard := make(chan struct{})
	w := newWorld(t, func(c *Call) {
		if !mustAnswer(t, c) {
			return
		}
		<-heard // the caller hums
		rec, err := c.StartRecord(bg, o)
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.Play(bg, audio.Tone(-10, lasting, 1100), false, "")
		r, err := rec.Stop("stop")
		got <- outcome{r, err}
	})
	l := newPhone(t).call(w, "100")
	l.stream.Play(hum(400))
	// The platform must hear the hum before the recording begins: the first sound of the call takes its time.
	c := w.engine.registry.all()[0]
	hummed := make(chan struct{}, 1)
	remove, _ := c.Tap(c.A().ID, func(f []int16) {
		if audio.ToneLevel(f, 400) > 0.7 {
			select {
			case hummed <- struct{}{}:
			default:
			}
		}
	}, nil)
	<-hummed
	remove()
	close(heard)
	out := <-got
	l.bye()
	return w, out.rec, out.err
}

func TestMonoRecordingMixesBothDirections(t *testing.T) {
	w, r, err := recorded(t, RecordOptions{Tag: "t", ASR: true, Lang: "en-US"}, 600*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	available := w.facts.record(t, "available", func(x Record) bool { return x.State == RecordAvailable })
	if available.Tag != "t" || !available.ASR || available.EndedBy != "stop" || available.Format != "wav" || available.AvailableOn.IsZero() || available.ID != r.ID {
		t.Errorf("record %+v", available)
	}
	channels, _ := w.wav(t, available)
	if len(channels) != 1 {
		t.Fatalf("%d channels", len(channels))
	}
	if a, b := share(channels[0], 400), share(channels[0], 1100); a < 0.3 || b < 0.3 {
		t.Errorf("caller %.2f, platform %.2f", a, b)
	}
	if d := available.Duration; d < 580*time.Millisecond || d > 900*time.Millisecond || d != audio.Duration(len(channels[0])) {
		t.Errorf("%v, %d samples", d, len(channels[0]))
	}
}

func TestDualRecordingKeepsTheDirectionsApart(t *testing.T) {
	w, r, err := recorded(t, RecordOptions{Channels: "dual"}, 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	channels, _ := w.wav(t, r)
	if len(channels) != 2 {
		t.Fatalf("%d channels", len(channels))
	}
	if share(channels[0], 400) < 0.8 || share(channels[0], 1100) > 0.1 || share(channels[1], 1100) < 0.8 || share(channels[1], 400) > 0.1 {
		t.Errorf("left %.2f/%.2f, right %.2f/%.2f", share(channels[0], 400), share(channels[0], 1100), share(channels[1], 400), share(channels[1], 1100))
	}
}

func TestCallerOnlyRecordingHasNoPrompt(t *testing.T) {
	w, r, err := recorded(t, RecordOptions{CallerOnly: true}, 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	channels, _ := w.wav(t, r)
	if share(channels[0], 400) < 0.8 || share(channels[0], 1100) > 0.1 {
		t.Errorf("caller %.2f, prompt %.2f", share(channels[0], 400), share(channels[0], 1100))
	}
}

func TestTooShortRecordingIsThrownAway(t *testing.T) {
	w, r, err := recorded(t, RecordOptions{CallerOnly: true, Min: time.Minute}, 100*time.Millisecond)
	if !errors.Is(err, ErrNothingRecorded) || r.State != RecordFailed || r.Reason != "Nothing recorded" {
		t.Errorf("%+v: %v", r, err)
	}
	if files := w.files(t); len(files) != 0 {
		t.Errorf("left over: %v", files)
	}
}

func (w *world) files(t testing.TB) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestMP3IsMadeAfterTheEnd(t *testing.T) {
	_, noLame := exec.LookPath("lame")
	_, noFFmpeg := exec.LookPath("ffmpeg")
	w, r, err := recorded(t, RecordOptions{Format: "mp3"}, 400*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	available := w.facts.record(t, "available", func(x Record) bool { return x.State == RecordAvailable && x.ID == r.ID })
	if noLame != nil && noFFmpeg != nil {
		if available.Format != "wav" {
			t.Errorf("without a converter: %+v", available)
		}
		return
	}
	if available.Format != "mp3" || !strings.HasSuffix(available.BlobKey, ".mp3") || available.Size == 0 {
		t.Fatalf("record %+v", available)
	}
	f, _, err := w.store.Open(bg, available.BlobKey)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	samples, err := audio.DecodeFile(f, audio.Limits{})
	if err != nil || share(samples, 1100) < 0.2 {
		t.Errorf("%d samples, %.2f: %v", len(samples), share(samples, 1100), err)
	}
	if files := w.files(t); len(files) != 1 {
		t.Errorf("files %v", files)
	}
}

func TestRecordingEndsByItself(t *testing.T) {
	for _, c := range []struct {
		o    RecordOptions
		want string
	}{
		{RecordOptions{Max: 200 * time.Millisecond}, EndedByTimeout},
		{RecordOptions{CallerOnly: true, Silence: 300 * time.Millisecond}, EndedBySilence},
	} {
		w := newWorld(t, func(c1 *Call) {
			if !mustAnswer(t, c1) {
				return
			}
			rec, err := c1.StartRecord(bg, c.o)
			if err != nil {
				t.Error(err)
				return
			}
			<-rec.Ended()
			if r, err := rec.Stop("stop"); err != nil || r.EndedBy != c.want {
				t.Errorf("%+v: %v", r, err)
			}
			c1.Hangup(Cause{Q850: 16, By: ByPlatform})
		})
		l := newPhone(t).call(w, "100")
		expect[sip.Ended](l)
		w.facts.record(t, "available", func(r Record) bool { return r.State == RecordAvailable && r.EndedBy == c.want })
	}
}

func TestHangupEndsRecordingsBeforeDestroyed(t *testing.T) {
	started := make(chan struct{})
	order := make(chan string, 64)
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			_, err := c.StartRecord(bg, RecordOptions{})
			if err != nil {
				t.Error(err)
			}
			close(started)
		}
	}, func(c *Config) { c.Observer = &ordered{c.Observer.(*facts), order} })
	l := newPhone(t).call(w, "100")
	<-started
	l.bye()
	w.gone()
	close(order)
	var got []string
	for s := range order {
		got = append(got, s)
	}
	want := "init live recording processing hangup available destroyed"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("order %q, want %q", s, want)
	}
}

type ordered struct {
	*facts
	order chan string
}

func (o *ordered) LegChanged(l Leg)       { o.facts.LegChanged(l); o.order <- string(l.State) }
func (o *ordered) RecordChanged(r Record) { o.facts.RecordChanged(r); o.order <- r.State }

func TestDialIsRecordedFromTheAnswerOn(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200"), RecordFrom: RecordFromAnswer, Record: RecordOptions{Channels: "dual", Tag: "d"}}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	callee.answer(200)
	caller.accepted(expect[sip.Answered](caller).Body)
	caller.stream.Play(hum(400))
	callee.stream.Play(hum(900))
	caller.tone(900)
	callee.tone(400)
	caller.listen(20)
	callee.bye()
	r := result(t, results)
	if r.Recording == nil {
		t.Fatal("no recording")
	}
	rec, err := r.Recording.Stop("late")
	if err != nil || rec.EndedBy != EndedByHangup || rec.Tag != "d" {
		t.Errorf("%+v: %v", rec, err)
	}
	channels, _ := w.wav(t, rec)
	if share(channels[0], 400) < 0.8 || share(channels[1], 900) < 0.8 {
		t.Errorf("left %.2f, right %.2f", share(channels[0], 400), share(channels[1], 900))
	}
	caller.bye()
}

func TestTimeBeforeTheMediaIsSilenceInTheRecording(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200"), RecordFrom: RecordFromRinging}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	began := time.Now()
	callee.nothing(500 * time.Millisecond) // it rings
	rang := time.Since(began)
	callee.answer(200)
	caller.accepted(expect[sip.Answered](caller).Body)
	callee.stream.Play(hum(900))
	caller.tone(900)
	caller.listen(20)
	callee.bye()
	r := result(t, results)
	rec, err := r.Recording.Stop("late")
	if err != nil {
		t.Fatal(err)
	}
	channels, _ := w.wav(t, rec)
	if rec.Duration < rang || share(channels[0][:audio.Samples(rang)-1600], 900) > 0.1 || share(channels[0], 900) < 0.5 {
		t.Errorf("%v of sound after %v of ringing", rec.Duration, rang)
	}
	caller.bye()
}

// brokenStore is a full disk.
type brokenStore struct{ *blob.Store }

func (brokenStore) Create(context.Context, string) (*blob.File, error) {
	return nil, errors.New("disk full")
}

func TestBrokenDiskFailsTheRecordingNotTheCall(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		if !mustAnswer(t, c) {
			return
		}
		rec, err := c.StartRecord(bg, RecordOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		if err := c.Play(bg, audio.Tone(-10, 200*time.Millisecond, 700), false, ""); err != nil {
			t.Error(err)
		}
		if r, err := rec.Stop("stop"); !errors.Is(err, ErrRecordFailed) || r.State != RecordFailed {
			t.Errorf("%+v: %v", r, err)
		}
		c.Hangup(Cause{Q850: 16, By: ByPlatform})
	}, func(c *Config) { c.Blob = brokenStore{c.Blob.(*blob.Store)} })
	l := newPhone(t).call(w, "100")
	if e := expect[sip.Ended](l); e.Reason.Q850 != 16 {
		t.Errorf("ended with %+v", e)
	}
}

func TestFileOfARunningRecordingIsReadable(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			if _, err := c.StartRecord(bg, RecordOptions{Channels: "dual"}); err != nil {
				t.Error(err)
			}
			_ = c.Play(bg, hum(700), false, "")
		}
	})
	l := newPhone(t).call(w, "100")
	limit := time.After(patience)
	for {
		if files := w.files(t); len(files) == 1 {
			// A copy, as after a crash: what was said until then is there.
			if raw, err := os.ReadFile(files[0]); err == nil && len(raw) > 20000 {
				samples, err := audio.DecodeFile(strings.NewReader(string(raw)), audio.Limits{})
				if err != nil || share(samples, 700) < 0.5 {
					t.Errorf("%d samples: %v", len(samples), err)
				}
				break
			}
		}
		select {
		case <-limit:
			t.Fatal("no file grows")
		case <-time.After(20 * time.Millisecond):
		}
	}
	l.bye()
}

func TestTrimCutsBothEndsAndKeepsPauses(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "*.wav")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wav, err := audio.NewWAVWriter(f, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{wav: wav, channels: 1, trim: true}
	sound, _ := audio.ReadAll(audio.Tone(-10, 200*time.Millisecond, 700), time.Second)
	long := trimPending + 8000
	for _, k := range []chunk{{gap: 8000}, {left: sound}, {gap: 4000}, {left: sound}, {gap: long}, {left: sound}, {gap: 16000}} {
		if err := s.chunk(k); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if want := audio.Duration(3*len(sound) + 4000 + long); wav.Duration() != want {
		t.Errorf("%v, want %v", wav.Duration(), want)
	}
}
