package audio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"
)

// What can be wrong with a file. Errors of DecodeFile wrap one of them, or are those of the reader.
var (
	ErrFormat   = errors.New("not a playable audio file")                  // neither WAV nor MP3, damaged, or of a kind that is not read
	ErrMP3Rate  = fmt.Errorf("%w: MP3 below 16 kHz (MPEG 2.5)", ErrFormat) // a converter such as ffmpeg can read it
	ErrTooLarge = errors.New("audio file has too many bytes")
	ErrTooLong  = errors.New("audio lasts too long")
)

// The limits of DecodeFile when none are given.
const (
	DefaultMaxBytes    = 20 << 20
	DefaultMaxDuration = time.Hour
)

// Limits bound what DecodeFile accepts. Zero values mean the defaults.
type Limits struct {
	MaxBytes    int64         // of the file
	MaxDuration time.Duration // of the sound
}

func (l Limits) orDefault() Limits {
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	if l.MaxDuration <= 0 {
		l.MaxDuration = DefaultMaxDuration
	}
	return l
}

// sniffBytes is what tells WAV and MP3 apart.
const sniffBytes = 12

// DecodeFile reads a WAV (PCM of 8, 16, 24 or 32 bits, float of 32 or 64, A-law, mu-law) or an MP3 (MPEG 1 and 2, layer III) of any rate
// and up to maxChannels channels, whichever its first bytes show, and returns it as 8 kHz mono. Memory is bounded by the result.
// It works as long as r gives bytes: to stop it early let r return an error.
func DecodeFile(r io.Reader, limits Limits) ([]int16, error) { return readFile(r, limits, mixed) }

// DecodeChannel is DecodeFile for one of the channels, from 0; of a file that has fewer it is the last.
func DecodeChannel(r io.Reader, limits Limits, channel int) ([]int16, error) {
	return readFile(r, limits, max(0, channel))
}

// mixed stands for all channels.
const mixed = -1

func readFile(r io.Reader, limits Limits, channel int) ([]int16, error) {
	limits = limits.orDefault()
	in := bufio.NewReaderSize(&boundedReader{r: r, left: limits.MaxBytes}, 32<<10)
	head, err := in.Peek(sniffBytes)
	if err != nil && err != io.EOF {
		return nil, err
	}
	out := &collector{most: Samples(limits.MaxDuration), channel: channel}
	switch {
	case isWAV(head):
		err = decodeWAV(in, out)
	case isMP3(head):
		err = decodeMP3(in, out)
	default:
		return nil, fmt.Errorf("%w: neither WAV nor MP3", ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	return out.finish()
}

// boundedReader fails with ErrTooLarge where io.LimitReader would pretend that the file ends.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if int64(n) > b.left {
		n = int(b.left)
		b.left = 0
		return n, ErrTooLarge
	}
	b.left -= int64(n)
	return n, err
}

// collector brings sound of any rate to the house rate, up to most samples.
type collector struct {
	convert *resampler // nil when the rate is ours already
	out     []int16
	most    int
	channel int // the one that is taken, or mixed
}

// span gives the channels, of so many, that become the sound: from and count.
func (c *collector) span(channels int) (from, count int) {
	if c.channel == mixed {
		return 0, channels
	}
	return min(c.channel, channels-1), 1
}

func (c *collector) rate(hz int) error {
	if !rateOK(hz) {
		return fmt.Errorf("%w: %d samples per second", ErrFormat, hz)
	}
	if hz != Rate {
		c.convert = newResampler(hz, Rate)
	}
	return nil
}

func (c *collector) add(mono []int16) error {
	if c.convert == nil {
		c.out = append(c.out, mono...)
	} else {
		c.out = c.convert.push(mono, c.out)
	}
	if len(c.out) > c.most {
		return ErrTooLong
	}
	return nil
}

func (c *collector) finish() ([]int16, error) {
	if c.convert != nil {
		c.out = c.convert.finish(c.out)
	}
	if len(c.out) > c.most {
		return nil, ErrTooLong
	}
	return c.out, nil
}
