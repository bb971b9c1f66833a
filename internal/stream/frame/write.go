package frame

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// maxReason is what a close frame has room for after the code.
const maxReason = maxControl - 2

// Append adds a whole frame of the server, which has no mask (RFC 6455 §5.1). The payload of a control frame has at most 125 bytes, the rest is left out.
func Append(dst []byte, op Op, payload []byte) []byte {
	if op >= Close {
		payload = payload[:min(len(payload), maxControl)]
	}
	dst = append(dst, 0x80|byte(op))
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, payload...)
}

// AppendClose adds a close frame; NoStatus leaves code and reason out, a reason that is too long is cut at a character.
func AppendClose(dst []byte, code int, reason string) []byte {
	if code == NoStatus {
		return Append(dst, Close, nil)
	}
	reason = strings.ToValidUTF8(reason, "?")
	if len(reason) > maxReason {
		n := maxReason
		for !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	return Append(dst, Close, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}
