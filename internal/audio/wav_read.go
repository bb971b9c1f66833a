package audio

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Formats of the "fmt " chunk (RFC 2361 appendix A).
const (
	wavPCM        = 0x0001
	wavFloat      = 0x0003
	wavALaw       = 0x0006
	wavULaw       = 0x0007
	wavExtensible = 0xFFFE
)

// Limits of the WAV reader.
const (
	maxChannels  = 8
	maxFmtBytes  = 4096
	wavReadBytes = 16 << 10
	// streamedSize is the least length that means "not known": writers to a pipe put 0, 0x7FFFF000 (espeak-ng) or 0xFFFFFFFF (ffmpeg, sox).
	streamedSize = 0x7FFFF000
)

// extensibleTail is the part of a sub-format GUID behind its two bytes of format code.
const extensibleTail = "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

func isWAV(head []byte) bool {
	return len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WAVE"
}

// wavFormat is what the "fmt " chunk says.
type wavFormat struct {
	code     int
	channels int
	rate     int
	width    int // bytes per sample
}

func decodeWAV(in *bufio.Reader, out *collector) error {
	var head [12]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return wavError(err)
	}
	riff := binary.LittleEndian.Uint32(head[4:])
	var format *wavFormat
	at := int64(4) // bytes of the RIFF chunk read so far
	for {
		var chunk [8]byte
		if _, err := io.ReadFull(in, chunk[:]); err != nil {
			return wavError(err)
		}
		at += 8
		size := int64(binary.LittleEndian.Uint32(chunk[4:]))
		switch string(chunk[:4]) {
		case "fmt ":
			f, err := readFormat(in, size)
			if err != nil {
				return err
			}
			format = f
		case "data":
			if format == nil {
				return fmt.Errorf("%w: WAV data before its format", ErrFormat)
			}
			if size >= streamedSize || (size == 0 && (riff == 0 || int64(riff) <= at || riff >= streamedSize)) {
				size = math.MaxInt64
			}
			return readData(in, format, size, out)
		default:
			if err := skip(in, size+size&1); err != nil {
				return err
			}
		}
		at += size + size&1
	}
}

// wavError tells a damaged file from a reader that failed.
func wavError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: WAV ends before its sound", ErrFormat)
	}
	return err
}

func skip(in *bufio.Reader, n int64) error {
	if _, err := io.CopyN(io.Discard, in, n); err != nil {
		return wavError(err)
	}
	return nil
}

func readFormat(in *bufio.Reader, size int64) (*wavFormat, error) {
	if size < 16 || size > maxFmtBytes {
		return nil, fmt.Errorf("%w: WAV format of %d bytes", ErrFormat, size)
	}
	b := make([]byte, size+size&1)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, wavError(err)
	}
	le := binary.LittleEndian
	f := &wavFormat{code: int(le.Uint16(b)), channels: int(le.Uint16(b[2:]))}
	rate, bits := le.Uint32(b[4:]), int(le.Uint16(b[14:]))
	if rate > MaxRate || rate < MinRate {
		return nil, fmt.Errorf("%w: %d samples per second", ErrFormat, rate)
	}
	f.rate, f.width = int(rate), (bits+7)/8
	if f.code == wavExtensible {
		if size < 40 || string(b[26:40]) != extensibleTail {
			return nil, fmt.Errorf("%w: unknown WAV sub-format", ErrFormat)
		}
		f.code = int(le.Uint16(b[24:]))
	}
	if f.channels < 1 || f.channels > maxChannels {
		return nil, fmt.Errorf("%w: %d channels", ErrFormat, f.channels)
	}
	if wavSample(f) == nil {
		return nil, fmt.Errorf("%w: WAV of format %#04x with %d bits", ErrFormat, f.code, bits)
	}
	return f, nil
}

// wavSample is how one sample of the format becomes 16 bits; nil for those that are not read.
func wavSample(f *wavFormat) func([]byte) int32 {
	le := binary.LittleEndian
	switch {
	case f.code == wavPCM && f.width == 1: // unsigned, as only 8-bit WAV is
		return func(b []byte) int32 { return (int32(b[0]) - 128) << 8 }
	case f.code == wavPCM && f.width == 2:
		return func(b []byte) int32 { return int32(int16(le.Uint16(b))) }
	case f.code == wavPCM && f.width == 3:
		return func(b []byte) int32 { return int32(int16(le.Uint16(b[1:]))) }
	case f.code == wavPCM && f.width == 4:
		return func(b []byte) int32 { return int32(int16(le.Uint16(b[2:]))) }
	case f.code == wavFloat && f.width == 4:
		return func(b []byte) int32 { return floatSample(float64(math.Float32frombits(le.Uint32(b)))) }
	case f.code == wavFloat && f.width == 8:
		return func(b []byte) int32 { return floatSample(math.Float64frombits(le.Uint64(b))) }
	case f.code == wavALaw && f.width == 1:
		return func(b []byte) int32 { return int32(alawDecode[b[0]]) }
	case f.code == wavULaw && f.width == 1:
		return func(b []byte) int32 { return int32(ulawDecode[b[0]]) }
	}
	return nil
}

func floatSample(v float64) int32 {
	if math.IsNaN(v) {
		return 0
	}
	return int32(toInt16(v * 32768))
}

// readData reads size bytes of samples or, when the file ends earlier, what there is: a recorder that crashed or a stream.
func readData(in *bufio.Reader, f *wavFormat, size int64, out *collector) error {
	if err := out.rate(f.rate); err != nil {
		return err
	}
	sample, block := wavSample(f), f.width*f.channels
	buf := make([]byte, wavReadBytes/block*block)
	mono := make([]int16, 0, len(buf)/block)
	from, count := out.span(f.channels)
	for size > 0 {
		n, err := io.ReadFull(in, buf[:min(size, int64(len(buf)))])
		size -= int64(n)
		mono = mono[:0]
		for at := 0; at+block <= n; at += block {
			sum := int32(0)
			for c := range count {
				sum += sample(buf[at+(from+c)*f.width:])
			}
			mono = append(mono, int16(sum/int32(count)))
		}
		if e := out.add(mono); e != nil {
			return e
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
