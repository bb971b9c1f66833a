package event

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// Envelopes of one commit are much alike: an account, a number and a message stand in each of them. They are kept together in compressed blocks, which take a
// tenth of the room that they would take one by one.
const (
	blockEvents = 32        // the most envelopes of one block: whoever reads one of them unpacks all
	blockBytes  = 128 << 10 // a block that has as much gets no further envelope
	maxBlock    = 64 << 20  // a larger one was not written by this package
)

// errBlock says that a block is not what pack made.
var errBlock = errors.New("event block is damaged")

// blocks gives the rows of each block, in order.
func blocks(rows []Row) [][]Row {
	var out [][]Row
	size, start := 0, 0
	for i, r := range rows {
		if i > start && (i-start == blockEvents || size+len(r.Body) > blockBytes) {
			out, start, size = append(out, rows[start:i]), i, 0
		}
		size += len(r.Body)
	}
	return append(out, rows[start:])
}

// packer makes blocks in the same memory again and again: each is good until the next one.
type packer struct{ plain, packed []byte }

// pack writes the envelopes of rows, each behind its length, and compresses them.
func (p *packer) pack(rows []Row) []byte {
	p.plain = p.plain[:0]
	for _, r := range rows {
		p.plain = binary.AppendUvarint(p.plain, uint64(len(r.Body)))
		p.plain = append(p.plain, r.Body...)
	}
	p.packed = s2.Encode(p.packed[:cap(p.packed)], p.plain)
	return p.packed
}

// unpack gives the envelopes of a block.
func unpack(block []byte) ([][]byte, error) {
	n, err := s2.DecodedLen(block)
	if err != nil || n > maxBlock {
		return nil, errBlock
	}
	plain, err := s2.Decode(nil, block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBlock, err)
	}
	var out [][]byte
	for len(plain) > 0 {
		size, n := binary.Uvarint(plain)
		if n <= 0 || size > uint64(len(plain)-n) {
			return nil, errBlock
		}
		end := n + int(size)
		out = append(out, plain[n:end:end])
		plain = plain[end:]
	}
	return out, nil
}
