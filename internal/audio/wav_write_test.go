package audio

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func newFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "a.wav"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func contents(t *testing.T, f *os.File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWrittenWAVIsReadBack(t *testing.T) {
	f := newFile(t)
	w, err := NewWAVWriter(f, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := counting(20000)
	for chunk := range slices.Chunk(want, FrameSamples) {
		if err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if w.Duration() != 2500*time.Millisecond || w.Size() != 40044 {
		t.Errorf("%v, %d bytes", w.Duration(), w.Size())
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	file := contents(t, f)
	var whole bytes.Buffer
	if err := EncodeWAV(&whole, want); err != nil || !bytes.Equal(whole.Bytes(), file) {
		t.Errorf("piecewise and whole files differ (%v)", err)
	}
	if got := decode(t, file); !slices.Equal(got, want) {
		t.Fatalf("%d samples read back", len(got))
	}
	if w.Write(want) == nil {
		t.Error("a closed writer takes sound")
	}
}

func TestDualChannelsStayApart(t *testing.T) {
	f := newFile(t)
	w, err := NewWAVWriter(f, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write([]int16{1, 2, 3}, []int16{10}), w.Write(nil, []int16{20}), w.Write([]int16{4}), w.Close()); err != nil {
		t.Fatal(err)
	}
	want := pcm16([]int16{1, 10, 2, 0, 3, 0, 0, 20, 4, 0})
	if file := contents(t, f); !bytes.Equal(file[44:], want) || file[22] != 2 || file[32] != 4 {
		t.Fatalf("% x", file)
	}
	if w.Duration() != 5*time.Second/Rate {
		t.Errorf("%v", w.Duration())
	}
}

func TestWAVOfACrashedProgramPlays(t *testing.T) {
	f := newFile(t)
	w, err := NewWAVWriter(f, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(counting(3 * wavWriteBytes / 2)); err != nil {
		t.Fatal(err)
	}
	if got := decode(t, contents(t, f)); len(got) != 3*wavWriteBytes/2 {
		t.Errorf("%d samples before the first patch", len(got))
	}
	if err := w.Write(make([]int16, wavPatchBytes)); err != nil {
		t.Fatal(err)
	}
	file := contents(t, f)
	if told := int(file[40]) | int(file[41])<<8 | int(file[42])<<16; told < wavPatchBytes {
		t.Errorf("header tells of %d bytes", told)
	}
}

func TestWriteErrorsStay(t *testing.T) {
	full := errors.New("disk full")
	w, err := NewWAVWriter(&fullDisk{room: 100, err: full}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(make([]int16, wavWriteBytes)); !errors.Is(err, full) {
		t.Errorf("write: %v", err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("close: %v", err)
	}
	if _, err := NewWAVWriter(&fullDisk{err: full}, 1); !errors.Is(err, full) {
		t.Errorf("header: %v", err)
	}
	if _, err := NewWAVWriter(&fullDisk{room: 100}, 3); err == nil {
		t.Error("three channels taken")
	}
	if EncodeWAV(&bytes.Buffer{}) == nil {
		t.Error("a WAV without channels taken")
	}
}

type fullDisk struct {
	room int
	err  error
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		return 0, d.err
	}
	d.room -= len(p)
	return len(p), nil
}

func (d *fullDisk) Seek(offset int64, _ int) (int64, error) { return offset, nil }
