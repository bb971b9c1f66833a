package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Limits of the WAV writer.
const (
	wavHeaderBytes = 44
	maxWAVData     = 0xFFFFFFFF - wavHeaderBytes // RIFF counts bytes in 32 bits
	wavWriteBytes  = 8 << 10
	wavPatchBytes  = 128 << 10 // a crash loses at most this much of the count (8 s of mono), and no sound already written
)

// WAVWriter writes a recording: 16-bit PCM, 8 kHz, one or two channels. The header is brought up to date from time to time, so that the
// file of a crashed program plays too. It is for one goroutine.
type WAVWriter struct {
	w        io.WriteSeeker
	channels int
	buf      []byte
	written  int64 // bytes of sound in the file
	patched  int64 // bytes the header tells of
	err      error
	closed   bool
}

// NewWAVWriter writes the header at the current place of w, which has to be its beginning. Channels is 1 or 2.
func NewWAVWriter(w io.WriteSeeker, channels int) (*WAVWriter, error) {
	if channels != 1 && channels != 2 {
		return nil, fmt.Errorf("WAV of %d channels", channels)
	}
	wav := &WAVWriter{w: w, channels: channels, buf: make([]byte, 0, wavWriteBytes)}
	if _, err := w.Write(wavHeader(channels, 0)); err != nil {
		return nil, err
	}
	return wav, nil
}

// Write appends sound: one slice for each channel (left, right). A shorter or missing one is filled with silence. The first error
// stays and is returned by every later call.
func (w *WAVWriter) Write(channels ...[]int16) error {
	if w.closed && w.err == nil {
		return errors.New("write to a closed WAV")
	}
	if len(channels) > w.channels {
		return fmt.Errorf("%d channels for a WAV of %d", len(channels), w.channels)
	}
	length := 0
	for _, c := range channels {
		length = max(length, len(c))
	}
	for i := range length {
		for k := range w.channels {
			s := int16(0)
			if k < len(channels) && i < len(channels[k]) {
				s = channels[k][i]
			}
			w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(s))
		}
		if len(w.buf) >= wavWriteBytes {
			w.flush()
		}
	}
	return w.err
}

// Duration is the length of the sound written so far.
func (w *WAVWriter) Duration() time.Duration {
	return Duration(int((w.written + int64(len(w.buf))) / int64(2*w.channels)))
}

// Size is the length of the file when it would be closed now, in bytes.
func (w *WAVWriter) Size() int64 {
	return wavHeaderBytes + w.written + int64(len(w.buf))
}

// Close writes what is left and the final header. It does not close the file.
func (w *WAVWriter) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	w.flush()
	if w.written != w.patched {
		w.patch()
	}
	return w.err
}

func (w *WAVWriter) flush() {
	if w.err != nil || len(w.buf) == 0 {
		w.buf = w.buf[:0]
		return
	}
	if w.written+int64(len(w.buf)) > maxWAVData {
		w.err = ErrTooLong
		return
	}
	n, err := w.w.Write(w.buf)
	w.written += int64(n)
	w.buf, w.err = w.buf[:0], err
	if w.written-w.patched >= wavPatchBytes {
		w.patch()
	}
}

// patch writes the header anew and returns to the end of the sound.
func (w *WAVWriter) patch() {
	if w.err != nil {
		return
	}
	end := wavHeaderBytes + w.written
	if _, w.err = w.w.Seek(0, io.SeekStart); w.err != nil {
		return
	}
	if _, w.err = w.w.Write(wavHeader(w.channels, w.written)); w.err != nil {
		return
	}
	_, w.err = w.w.Seek(end, io.SeekStart)
	w.patched = w.written
}

// EncodeWAV writes a whole WAV of 16-bit PCM at 8 kHz: one slice for mono, two for stereo; the shorter is filled with silence.
func EncodeWAV(w io.Writer, channels ...[]int16) error {
	if len(channels) != 1 && len(channels) != 2 {
		return fmt.Errorf("WAV of %d channels", len(channels))
	}
	length := len(channels[0])
	if len(channels) == 2 {
		length = max(length, len(channels[1]))
	}
	data := int64(length) * 2 * int64(len(channels))
	if data > maxWAVData {
		return ErrTooLong
	}
	out := make([]byte, 0, wavHeaderBytes+data)
	out = append(out, wavHeader(len(channels), data)...)
	for i := range length {
		for _, c := range channels {
			s := int16(0)
			if i < len(c) {
				s = c[i]
			}
			out = binary.LittleEndian.AppendUint16(out, uint16(s))
		}
	}
	_, err := w.Write(out)
	return err
}

func wavHeader(channels int, data int64) []byte {
	le := binary.LittleEndian
	h := make([]byte, 0, wavHeaderBytes)
	h = append(h, "RIFF"...)
	h = le.AppendUint32(h, uint32(wavHeaderBytes-8+data))
	h = append(h, "WAVEfmt "...)
	h = le.AppendUint32(h, 16)
	h = le.AppendUint16(h, wavPCM)
	h = le.AppendUint16(h, uint16(channels))
	h = le.AppendUint32(h, Rate)
	h = le.AppendUint32(h, uint32(Rate*2*channels))
	h = le.AppendUint16(h, uint16(2*channels))
	h = le.AppendUint16(h, 16)
	h = append(h, "data"...)
	return le.AppendUint32(h, uint32(data))
}
