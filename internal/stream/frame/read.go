package frame

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Op is the opcode of a frame (RFC 6455 §5.2).
type Op byte

// Opcodes; the others are reserved.
const (
	Continuation Op = 0x0
	Text         Op = 0x1
	Binary       Op = 0x2
	Close        Op = 0x8
	Ping         Op = 0x9
	Pong         Op = 0xA
)

// Close codes of the standard (RFC 6455 §7.4.1).
const (
	Normal   = 1000
	Away     = 1001
	Protocol = 1002
	NoStatus = 1005 // never on the wire: a close frame without a code
	BadText  = 1007
)

const (
	ahead      = 128 // bytes read ahead: a pong or a short message in one system call, and little to keep while idle
	maxControl = 125 // RFC 6455 §5.5
	firstChunk = 4 << 10
)

// What a Reader refuses without the standard forbidding it; the user has codes of its own for them.
var (
	ErrBinary   = errors.New("binary frame")
	ErrTooLarge = errors.New("message is too large")
)

// Error says that the other side broke the standard; Code is for the close frame.
type Error struct {
	Code   int
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Reason, e.Code) }

func broken(reason string) error { return &Error{Protocol, reason} }

// Message is a whole text message or one control frame.
type Message struct {
	Op      Op
	Payload []byte // of a close frame: the reason
	Code    int    // of a close frame; NoStatus without one
}

// Reader reads what a client sends. After an error it is of no further use.
type Reader struct {
	in  *bufio.Reader
	max int

	open  bool   // a fragmented message has begun
	text  []byte // its fragments so far
	sound int    // bytes of it that were found to be UTF-8
}

// NewReader makes a reader whose messages are at most limit bytes long.
func NewReader(in io.Reader, limit int) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, ahead), max: limit}
}

// Next gives the next message or control frame, which may come between the fragments of a message (RFC 6455 §5.4). Errors: *Error, ErrBinary, ErrTooLarge,
// or that of the connection.
func (r *Reader) Next() (Message, error) {
	for {
		h, err := r.header()
		if err != nil {
			return Message{}, err
		}
		if h.op >= Close {
			return r.control(h)
		}
		if err := r.fragment(h); err != nil {
			return Message{}, err
		}
		if h.final {
			text := r.text
			r.open, r.text, r.sound = false, nil, 0
			return Message{Op: Text, Payload: text}, nil
		}
	}
}

// header is the part of a frame before its payload.
type header struct {
	final bool
	op    Op
	size  int
	mask  [4]byte
}

// header reads and judges one (RFC 6455 §5.2).
func (r *Reader) header() (header, error) {
	var b [8]byte
	if _, err := io.ReadFull(r.in, b[:2]); err != nil {
		return header{}, err
	}
	h := header{final: b[0]&0x80 != 0, op: Op(b[0] & 0x0f)}
	short := b[1] & 0x7f
	switch {
	case b[0]&0x70 != 0:
		return h, broken("reserved bit without an extension")
	case h.op > Binary && h.op < Close || h.op > Pong:
		return h, broken("reserved opcode")
	case b[1]&0x80 == 0:
		return h, broken("frame of a client without a mask")
	case h.op >= Close && !h.final:
		return h, broken("fragmented control frame")
	case h.op >= Close && short > maxControl:
		return h, broken("control frame of more than 125 bytes")
	case h.op == Continuation && !r.open:
		return h, broken("continuation of nothing")
	case h.op == Text && r.open || h.op == Binary && r.open:
		return h, broken("new message inside a fragmented one")
	case h.op == Binary:
		return h, ErrBinary
	}
	size, err := r.size(short)
	if err != nil {
		return h, err
	}
	if size > uint64(r.max-len(r.text)) {
		return h, ErrTooLarge
	}
	h.size = int(size)
	_, err = io.ReadFull(r.in, h.mask[:])
	return h, err
}

// size reads the extended length, which must be the shortest one that holds it (RFC 6455 §5.2).
func (r *Reader) size(short byte) (uint64, error) {
	var b [8]byte
	switch short {
	case 126:
		if _, err := io.ReadFull(r.in, b[:2]); err != nil {
			return 0, err
		}
		n := uint64(binary.BigEndian.Uint16(b[:]))
		if n < 126 {
			return 0, broken("length is not in its shortest form")
		}
		return n, nil
	case 127:
		if _, err := io.ReadFull(r.in, b[:]); err != nil {
			return 0, err
		}
		n := binary.BigEndian.Uint64(b[:])
		if n < 1<<16 || n > 1<<63-1 {
			return 0, broken("length is not in its shortest form")
		}
		return n, nil
	}
	return uint64(short), nil
}

// fragment adds the payload of a data frame to the message.
func (r *Reader) fragment(h header) error {
	r.open = true
	from := len(r.text)
	for left := h.size; left > 0; { // a client that announces much and sends little gets little memory
		n := min(left, max(firstChunk, len(r.text)-from))
		at := len(r.text)
		r.text = append(r.text, make([]byte, n)...)
		if _, err := io.ReadFull(r.in, r.text[at:]); err != nil {
			return err
		}
		left -= n
	}
	unmask(r.text[from:], h.mask)
	r.sound += soundPrefix(r.text[r.sound:])
	rest := r.text[r.sound:]
	if len(rest) > 0 && (h.final || utf8.FullRune(rest)) {
		return &Error{BadText, "text is not UTF-8"}
	}
	return nil
}

// soundPrefix gives how many bytes at the beginning are whole characters of UTF-8.
func soundPrefix(b []byte) int {
	if utf8.Valid(b) {
		return len(b)
	}
	n := 0
	for n < len(b) {
		c, size := utf8.DecodeRune(b[n:])
		if c == utf8.RuneError && size <= 1 {
			break
		}
		n += size
	}
	return n
}

func (r *Reader) control(h header) (Message, error) {
	m := Message{Op: h.op, Payload: make([]byte, h.size)}
	if _, err := io.ReadFull(r.in, m.Payload); err != nil {
		return Message{}, err
	}
	unmask(m.Payload, h.mask)
	if h.op != Close {
		return m, nil
	}
	switch { // RFC 6455 §5.5.1, §7.4
	case len(m.Payload) == 0:
		m.Code = NoStatus
		return m, nil
	case len(m.Payload) == 1:
		return m, broken("close frame with half a code")
	}
	m.Code, m.Payload = int(binary.BigEndian.Uint16(m.Payload)), m.Payload[2:]
	if !mayBeSent(m.Code) {
		return m, broken("close code that may not be sent")
	}
	if !utf8.Valid(m.Payload) {
		return m, &Error{BadText, "close reason is not UTF-8"}
	}
	return m, nil
}

// mayBeSent tells the close codes of the standard, its registry and applications (RFC 6455 §7.4.1-2) from those that must not be on the wire.
func mayBeSent(code int) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}

// unmask undoes the client's mask in place (RFC 6455 §5.3).
func unmask(b []byte, mask [4]byte) {
	word := uint64(binary.LittleEndian.Uint32(mask[:]))
	word |= word << 32
	i := 0
	for ; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], binary.LittleEndian.Uint64(b[i:])^word)
	}
	for ; i < len(b); i++ {
		b[i] ^= mask[i&3]
	}
}
