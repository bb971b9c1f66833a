package audio

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hajimehoshi/go-mp3"
)

// mp3SearchBytes is how far behind the tags the first frame is looked for.
const mp3SearchBytes = 16 << 10

// isMP3 looks for an ID3v2 tag or the header of a frame of layer III (ISO/IEC 11172-3 §2.4.1.3).
func isMP3(head []byte) bool {
	return len(head) >= 4 && (string(head[:3]) == "ID3" || isMP3Frame(head))
}

func isMP3Frame(b []byte) bool {
	if b[0] != 0xFF || b[1]&0xE0 != 0xE0 {
		return false
	}
	version, layer := b[1]>>3&3, b[1]>>1&3
	bitrate, rate := b[2]>>4, b[2]>>2&3
	return version != 1 && layer == 1 && bitrate != 15 && bitrate != 0 && rate != 3
}

// decodeMP3 reads frames until the file ends. A damaged frame behind good ones ends the sound, as players do.
func decodeMP3(in *bufio.Reader, out *collector) error {
	if err := skipTags(in); err != nil {
		return err
	}
	if err := findFrame(in); err != nil {
		return err
	}
	source := &watchedReader{r: in}
	decoder, err := newMP3(source)
	if err != nil {
		return source.cause(err)
	}
	if err := out.rate(decoder.SampleRate()); err != nil {
		return err
	}
	buf := make([]byte, 16<<10) // always two channels of 16 bits, also for mono files
	mono := make([]int16, 0, len(buf)/4)
	from, count := out.span(2)
	decoded := false
	for {
		n, err := readMP3(decoder, buf)
		mono = mono[:0]
		for at := 0; at+4 <= n; at += 4 {
			sum := int32(0)
			for c := range count {
				sum += int32(int16(binary.LittleEndian.Uint16(buf[at+2*(from+c):])))
			}
			mono = append(mono, int16(sum/int32(count)))
		}
		decoded = decoded || n > 0
		if e := out.add(mono); e != nil {
			return e
		}
		switch {
		case source.err != nil:
			return source.err
		case err != nil && decoded:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: MP3 without sound", ErrFormat)
		case err != nil:
			return fmt.Errorf("%w: %v", ErrFormat, err)
		}
	}
}

// skipTags passes over the ID3v2 tags at the start (their size has 7 bits a byte).
func skipTags(in *bufio.Reader) error {
	for {
		head, err := in.Peek(10)
		if err != nil || string(head[:3]) != "ID3" {
			return nil // a file too short for a tag is judged by findFrame
		}
		size := int(head[6]&0x7F)<<21 | int(head[7]&0x7F)<<14 | int(head[8]&0x7F)<<7 | int(head[9]&0x7F)
		if head[5]&0x10 != 0 {
			size += 10 // footer
		}
		if _, err := in.Discard(10 + size); err != nil {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("%w: MP3 ends in its tag", ErrFormat)
			}
			return err
		}
	}
}

// findFrame moves to the first frame header and refuses MPEG 2.5 by name, because the decoder does not know it.
func findFrame(in *bufio.Reader) error {
	for range mp3SearchBytes {
		head, err := in.Peek(4)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(head) < 4 {
			break
		}
		if isMP3Frame(head) {
			if head[1]>>3&3 == 0 {
				return ErrMP3Rate
			}
			return nil
		}
		if _, err := in.Discard(1); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: no MP3 frame", ErrFormat)
}

// watchedReader remembers a failure of the file's reader, which the decoder may report as the end of the file. It hides the
// reader's other methods, so that the decoder does not try to seek.
type watchedReader struct {
	r   io.Reader
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

func (w *watchedReader) cause(err error) error {
	if w.err != nil {
		return w.err
	}
	return fmt.Errorf("%w: %v", ErrFormat, err)
}

// newMP3 and readMP3 stand between the decoder and the caller because the decoder indexes tables by values of the file and panics on
// some damaged ones; a customer's file must not end the server.
func newMP3(r io.Reader) (d *mp3.Decoder, err error) {
	defer recoverMP3(&err)
	return mp3.NewDecoder(r)
}

func readMP3(d *mp3.Decoder, p []byte) (n int, err error) {
	defer recoverMP3(&err)
	return d.Read(p)
}

func recoverMP3(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("damaged MP3 frame: %v", r)
	}
}
