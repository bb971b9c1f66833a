package gsm

import (
	"encoding/binary"
	"errors"
)

// Information element identifiers (TS 23.040 §9.2.3.24).
const (
	ieConcat8  = 0x00
	iePorts8   = 0x04
	iePorts16  = 0x05
	ieConcat16 = 0x08
	ieSingle   = 0x24
	ieLocking  = 0x25
)

// ErrUDH says that a user data header does not fit its own lengths.
var ErrUDH = errors.New("malformed user data header")

// Concat is the place of a segment in its message.
type Concat struct {
	Ref   uint16
	Total byte
	Seq   byte // from 1
	Wide  bool // 16-bit reference
}

// Ports address an application on the phone instead of its reader.
type Ports struct{ To, From uint16 }

// Element is an information element of a header.
type Element struct {
	ID   byte
	Data []byte
}

// UDH is a user data header. Elements holds all elements in their order, those of the named fields included.
type UDH struct {
	Concat   *Concat // nil without one, or with a total or sequence number that makes no sense (§9.2.3.24.1)
	Ports    *Ports
	Shift    Shift
	Elements []Element
}

// ParseUDH reads the header at the beginning of user data, its length octet first, and gives what follows. Of an element that comes twice
// the last counts; unknown ones are kept and have no effect.
func ParseUDH(data []byte) (u UDH, rest []byte, err error) {
	if len(data) == 0 || int(data[0]) >= len(data) {
		return UDH{}, nil, ErrUDH
	}
	end := 1 + int(data[0])
	header, rest := data[1:end], data[end:]
	for len(header) > 0 {
		if len(header) < 2 || int(header[1]) > len(header)-2 {
			return UDH{}, nil, ErrUDH
		}
		e := Element{header[0], header[2 : 2+int(header[1])]}
		header = header[2+len(e.Data):]
		u.Elements = append(u.Elements, e)
		u.take(e)
	}
	return u, rest, nil
}

// take understands an element whose length is right.
func (u *UDH) take(e Element) {
	d := e.Data
	switch {
	case e.ID == ieConcat8 && len(d) == 3:
		u.concat(Concat{uint16(d[0]), d[1], d[2], false})
	case e.ID == ieConcat16 && len(d) == 4:
		u.concat(Concat{binary.BigEndian.Uint16(d), d[2], d[3], true})
	case e.ID == iePorts8 && len(d) == 2:
		u.Ports = &Ports{uint16(d[0]), uint16(d[1])}
	case e.ID == iePorts16 && len(d) == 4:
		u.Ports = &Ports{binary.BigEndian.Uint16(d), binary.BigEndian.Uint16(d[2:])}
	case e.ID == ieSingle && len(d) == 1:
		u.Shift.Single = Language(d[0])
	case e.ID == ieLocking && len(d) == 1:
		u.Shift.Locking = Language(d[0])
	}
}

func (u *UDH) concat(c Concat) {
	if c.Total != 0 && c.Seq != 0 && c.Seq <= c.Total {
		u.Concat = &c
	}
}

// Bytes writes the header with its length octet: 6 octets, or 7 with a 16-bit reference (TS 23.040 §9.2.3.24.1 and 8).
func (c Concat) Bytes() []byte {
	if c.Wide {
		return []byte{6, ieConcat16, 4, byte(c.Ref >> 8), byte(c.Ref), c.Total, c.Seq}
	}
	return []byte{5, ieConcat8, 3, byte(c.Ref), c.Total, c.Seq}
}

// BuildUDH writes a header of elements; more than 255 octets is ErrUDH. No elements give no header.
func BuildUDH(elements ...Element) ([]byte, error) {
	if len(elements) == 0 {
		return nil, nil
	}
	out := []byte{0}
	for _, e := range elements {
		if len(e.Data) > 255 {
			return nil, ErrUDH
		}
		out = append(append(out, e.ID, byte(len(e.Data))), e.Data...)
	}
	if len(out)-1 > 255 {
		return nil, ErrUDH
	}
	out[0] = byte(len(out) - 1)
	return out, nil
}
