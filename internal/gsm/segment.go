package gsm

// Room of a message, in septets or UTF-16 units (TS 23.040 §9.2.3.16 and 24; 140 octets, of which a header takes 6).
const (
	SingleGSM7 = 160
	JoinedGSM7 = 153
	SingleUCS2 = 70
	JoinedUCS2 = 67

	// MaxSegments is what the header's octet can count.
	MaxSegments = 255
)

// Analysis says how a text is written and what it costs.
type Analysis struct {
	Encoding   Encoding
	Segments   int        // at least 1, also for an empty text
	Length     int        // septets or UTF-16 units
	PerSegment int        // room of each segment
	ForcedBy   *CharError // the first character that made it UCS-2; nil in GSM-7
}

// Segment is one message of the radio. Payload holds septets one in each byte (Pack makes octets of them), or UCS-2.
type Segment struct {
	UDH      []byte // nil when the text is one segment
	Payload  []byte
	Text     string
	Encoding Encoding
	DCS      byte
}

// Analyze counts a text as Split would cut it.
func Analyze(text string) Analysis {
	a := Analysis{Encoding: GSM7, PerSegment: SingleGSM7, Segments: 1}
	joined := JoinedGSM7
	if a.ForcedBy = firstForeign(text); a.ForcedBy != nil {
		a.Encoding, a.PerSegment, joined = UCS2, SingleUCS2, JoinedUCS2
	}
	for _, r := range text {
		a.Length += a.Encoding.width(r)
	}
	if a.Length > a.PerSegment {
		a.PerSegment = joined
		a.Segments = len(cut(text, a.Encoding, joined))
	}
	return a
}

// Split cuts a text into segments with an 8-bit reference. Neither an escape pair nor a surrogate pair is torn apart. It gives nil when
// MaxSegments are not enough.
func Split(text string, ref byte) []Segment {
	a := Analyze(text)
	if a.Segments == 1 {
		return []Segment{a.segment(text, nil)}
	}
	parts := cut(text, a.Encoding, a.PerSegment)
	if len(parts) > MaxSegments {
		return nil
	}
	out := make([]Segment, len(parts))
	for i, p := range parts {
		out[i] = a.segment(p, Concat{Ref: uint16(ref), Total: byte(len(parts)), Seq: byte(i + 1)}.Bytes())
	}
	return out
}

func (a Analysis) segment(text string, udh []byte) Segment {
	s := Segment{UDH: udh, Text: text, Encoding: a.Encoding, DCS: a.Encoding.DCS()}
	if a.Encoding == UCS2 {
		s.Payload = EncodeUCS2(text)
	} else {
		s.Payload, _ = EncodeGSM7(text) // Analyze has seen that every character is there
	}
	return s
}

// cut divides a text greedily at character boundaries.
func cut(text string, e Encoding, room int) []string {
	var parts []string
	start, used := 0, 0
	for i, r := range text {
		w := e.width(r)
		if used+w > room {
			parts = append(parts, text[start:i])
			start, used = i, 0
		}
		used += w
	}
	return append(parts, text[start:])
}

// width is what a character takes, in septets or UTF-16 units.
func (e Encoding) width(r rune) int {
	if e == UCS2 {
		if r > 0xffff {
			return 2
		}
		return 1
	}
	if codes[r] > 0x7f {
		return 2
	}
	return 1
}

func firstForeign(text string) *CharError {
	position := 0
	for _, r := range text {
		if _, ok := codes[r]; !ok {
			return &CharError{string(r), position}
		}
		position++
	}
	return nil
}
