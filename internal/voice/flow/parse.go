package flow

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/fault"
)

// Parse reads a document of at most 64 KiB and checks all of xml.md §1, §4 and §6. It refuses with a *fault.Error of code
// fault.InvalidXML whose message is "line <l>, column <c>: <reason>".
func Parse(doc []byte) (*Document, error) {
	p := parser{doc: doc, d: &Document{}}
	if wrong := p.run(); wrong != nil {
		return nil, fault.Newf(fault.InvalidXML, "line %d, column %d: %s", wrong.line, wrong.column, wrong.text)
	}
	return p.d, nil
}

// Lint checks a document and gives its warnings, for tools that only look.
func Lint(doc []byte) (warnings []string, err error) {
	d, err := Parse(doc)
	if err != nil {
		return nil, err
	}
	return d.Warnings, nil
}

type parser struct {
	doc   []byte
	dec   *xml.Decoder
	d     *Document
	open  []*Node  // from the root to the innermost
	raw   []string // their names as written, to match end tags
	count int

	at, line, lineStart int // how far position has counted
}

func (p *parser) run() *complaint {
	if wrong := p.whole(); wrong != nil {
		return wrong
	}
	p.dec = xml.NewDecoder(bytes.NewReader(p.doc))
	for {
		start := int(p.dec.InputOffset())
		tok, err := p.dec.RawToken()
		if err == io.EOF {
			return p.finish()
		}
		if err != nil {
			return p.syntax(start, err)
		}
		if wrong := p.token(start, tok); wrong != nil {
			return wrong
		}
	}
}

// whole judges the bytes before anything is read.
func (p *parser) whole() *complaint {
	if len(p.doc) > maxBytes {
		return &complaint{1, 1, "document is larger than 64 KiB"}
	}
	if bytes.HasPrefix(p.doc, []byte{0xFF, 0xFE}) || bytes.HasPrefix(p.doc, []byte{0xFE, 0xFF}) {
		return &complaint{1, 1, "document is UTF-16; only UTF-8 is read"}
	}
	p.doc = bytes.TrimPrefix(p.doc, []byte("\xEF\xBB\xBF"))
	if len(bytes.TrimSpace(p.doc)) == 0 {
		return &complaint{1, 1, "document is empty"}
	}
	if !utf8.Valid(p.doc) {
		off := 0
		for off < len(p.doc) {
			r, size := utf8.DecodeRune(p.doc[off:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			off += size
		}
		return p.wrongAt(off, "document is not UTF-8")
	}
	return nil
}

func (p *parser) token(start int, tok xml.Token) *complaint {
	switch t := tok.(type) {
	case xml.StartElement:
		return p.begin(start, t)
	case xml.EndElement:
		return p.end(start, t)
	case xml.CharData:
		return p.chars(start, t)
	case xml.ProcInst:
		if strings.EqualFold(t.Target, "xml") && start != 0 {
			return p.wrongAt(start, "the XML declaration must be the first thing in the document")
		}
	case xml.Directive:
		return p.wrongAt(start, "DTD and entity definitions are not allowed")
	}
	return nil
}

func (p *parser) begin(start int, t xml.StartElement) *complaint {
	line, column := p.position(start)
	here := func(format string, args ...any) *complaint {
		return &complaint{line, column, fmt.Sprintf(format, args...)}
	}
	if p.count++; p.count > maxElements {
		return here("more than %d elements", maxElements)
	}
	if len(p.open) == maxDepth {
		return here("elements are nested deeper than %d levels", maxDepth)
	}
	s := lookup(t.Name.Local)
	if s == nil {
		return here("unknown element <%s>", t.Name.Local)
	}
	n := &Node{Name: s.name, Line: line, Column: column, spec: s}
	if len(p.open) == 0 {
		if s.name != "Response" {
			return here("the root must be <Response>, not <%s>", s.name)
		}
		if p.d.Root != nil {
			return here("a second root; only one <Response> is allowed")
		}
		p.d.Root = n
	} else {
		parent := p.open[len(p.open)-1]
		if s.is&parent.spec.holds == 0 {
			return here("<%s> is not allowed in <%s>", s.name, parent.Name)
		}
		n.index = len(parent.Children)
		parent.Children = append(parent.Children, n)
	}
	if len(t.Attr) > maxAttrs {
		return here("more than %d attributes in <%s>", maxAttrs, s.name)
	}
	p.open, p.raw = append(p.open, n), append(p.raw, rawName(t.Name))
	return p.attributes(n, start, t.Attr)
}

func (p *parser) attributes(n *Node, start int, attrs []xml.Attr) *complaint {
	if len(attrs) == 0 {
		return nil
	}
	places := attrOffsets(p.doc[start:], len(attrs))
	n.Attrs = make([]Attr, 0, len(attrs))
	for i, a := range attrs {
		line, column := p.position(start + places[i])
		for _, before := range attrs[:i] {
			if before.Name == a.Name {
				return &complaint{line, column, fmt.Sprintf("attribute %q is given twice", rawName(a.Name))}
			}
		}
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		row, name := n.spec.attr(a.Name.Local)
		if row == nil {
			p.d.Warnings = append(p.d.Warnings, fmt.Sprintf("line %d, column %d: unknown attribute %q of <%s> is ignored", line, column, a.Name.Local, n.Name))
			continue
		}
		if before := n.attr(row.name); before != nil {
			return &complaint{line, column, fmt.Sprintf("attribute %q is given twice, the first time as %q", name, before.Name)}
		}
		value, wrong := row.checked(strings.TrimSpace(a.Value))
		if wrong != "" {
			return &complaint{line, column, fmt.Sprintf("attribute %q of <%s> %s", name, n.Name, wrong)}
		}
		n.Attrs = append(n.Attrs, Attr{Name: name, Value: value, Line: line, Column: column, row: row})
	}
	return nil
}

// checked gives the canonical value, or what is wrong with it; one that holds a template is checked when it runs.
func (a *attr) checked(v string) (string, string) {
	if hasTemplate(v) {
		return v, ""
	}
	if a.must && v == "" {
		return "", "must not be empty"
	}
	return a.kind.check(v)
}

func (p *parser) chars(start int, t xml.CharData) *complaint {
	text := bytes.TrimSpace(t)
	if len(p.open) == 0 {
		if len(text) > 0 {
			return p.wrongAt(p.visible(start), "text outside of <Response>")
		}
		return nil
	}
	top := len(p.open) - 1
	n := p.open[top]
	if n.spec.text == noText {
		if len(text) > 0 {
			return p.wrongAt(p.visible(start), fmt.Sprintf("text is not allowed in <%s>", n.Name))
		}
		return nil
	}
	n.Text += string(t)
	return nil
}

func (p *parser) end(start int, t xml.EndElement) *complaint {
	top := len(p.open) - 1
	if top < 0 {
		return p.wrongAt(start, fmt.Sprintf("</%s> closes nothing", rawName(t.Name)))
	}
	n := p.open[top]
	if rawName(t.Name) != p.raw[top] {
		return p.wrongAt(start, fmt.Sprintf("</%s> does not close <%s> of line %d", rawName(t.Name), p.raw[top], n.Line))
	}
	n.Text = strings.TrimSpace(n.Text)
	if n.spec.text == spoken {
		n.Text = strings.Join(strings.Fields(n.Text), " ")
	}
	p.open, p.raw = p.open[:top], p.raw[:top]
	return complete(n)
}

// complete judges an element that has all its attributes, text and children.
func complete(n *Node) *complaint {
	s := n.spec
	for i := range s.attrs {
		if s.attrs[i].must && !n.has(s.attrs[i].name) {
			return n.complain("<%s> needs the attribute %q", n.Name, s.attrs[i].name)
		}
	}
	if s.value != "" {
		written := n.attr(s.value)
		if (written == nil || written.Value == "") && n.Text == "" && s.must != "" {
			return n.complain("<%s> needs %s", n.Name, s.must)
		}
		if written == nil && n.Text != "" {
			canonical, wrong := s.row(s.value).checked(n.Text)
			if wrong != "" {
				return n.complain("text of <%s> %s", n.Name, wrong)
			}
			n.Text = canonical
		}
	}
	if s.check != nil {
		return s.check(n)
	}
	return nil
}

func (n *Node) complain(format string, args ...any) *complaint {
	return &complaint{n.Line, n.Column, fmt.Sprintf(format, args...)}
}

func (p *parser) finish() *complaint {
	if len(p.open) > 0 {
		n := p.open[len(p.open)-1]
		return p.wrongAt(len(p.doc), fmt.Sprintf("document ends inside <%s> of line %d", n.Name, n.Line))
	}
	if p.d.Root == nil {
		return p.wrongAt(0, "document has no <Response>")
	}
	return nil
}

// syntax words an error of the XML reader for a person, at the place where it began.
func (p *parser) syntax(start int, err error) *complaint {
	here := int(p.dec.InputOffset())
	var se *xml.SyntaxError
	if !errors.As(err, &se) {
		if strings.Contains(err.Error(), "encoding") {
			return p.wrongAt(start, "only the encoding UTF-8 is read")
		}
		return p.wrongAt(here, strings.TrimPrefix(err.Error(), "xml: "))
	}
	if strings.HasPrefix(se.Msg, "invalid character entity") {
		off, text := badEntity(p.doc, start)
		return p.wrongAt(off, text)
	}
	if strings.Contains(se.Msg, "unexpected EOF") {
		if len(p.open) > 0 {
			return p.finish()
		}
		return p.wrongAt(len(p.doc), "document ends in the middle of a tag")
	}
	return p.wrongAt(here, se.Msg)
}

func (p *parser) wrongAt(off int, text string) *complaint {
	line, column := p.position(off)
	return &complaint{line, column, text}
}

// visible gives the offset of the first character at or after off that is not white space.
func (p *parser) visible(off int) int {
	for off < len(p.doc) && strings.IndexByte(" \t\r\n", p.doc[off]) >= 0 {
		off++
	}
	return off
}

// position gives line and column, both from 1, of a byte offset. It counts on from the last offset asked for.
func (p *parser) position(off int) (line, column int) {
	off = min(off, len(p.doc))
	if off < p.at || p.line == 0 {
		p.at, p.line, p.lineStart = 0, 1, 0
	}
	for p.at < off {
		nl := bytes.IndexByte(p.doc[p.at:off], '\n')
		if nl < 0 {
			p.at = off
			break
		}
		p.at += nl + 1
		p.line, p.lineStart = p.line+1, p.at
	}
	return p.line, 1 + utf8.RuneCount(p.doc[p.lineStart:off])
}

// rawName is a name as written.
func rawName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// attrOffsets finds where the attributes of a start tag begin; the tag is known to be well-formed.
func attrOffsets(tag []byte, count int) []int {
	places := make([]int, 0, count)
	i := bytes.IndexAny(tag, " \t\r\n")
	for len(places) < count {
		for strings.IndexByte(" \t\r\n", tag[i]) >= 0 {
			i++
		}
		places = append(places, i)
		i += bytes.IndexAny(tag[i:], `"'`)
		i += 2 + bytes.IndexByte(tag[i+1:], tag[i])
	}
	return places
}

// badEntity finds the first & at or after off that starts no entity, and explains it.
func badEntity(doc []byte, off int) (int, string) {
	for i := off; i < len(doc); i++ {
		if doc[i] != '&' {
			continue
		}
		name, _, found := bytes.Cut(doc[i+1:min(len(doc), i+34)], []byte{';'})
		if !found || len(name) == 0 || bytes.ContainsAny(name, " \t\r\n<>&\"'=") {
			return i, "a bare & is not allowed; write &amp;"
		}
		switch string(name) {
		case "lt", "gt", "amp", "quot", "apos":
			continue
		}
		if name[0] == '#' && validReference(name[1:]) {
			continue
		}
		return i, fmt.Sprintf("unknown entity &%s; - only lt, gt, amp, quot, apos and numbers are known", name)
	}
	return off, "a bare & is not allowed; write &amp;"
}

func validReference(digits []byte) bool {
	var r rune
	format := "%d"
	if len(digits) > 0 && digits[0] == 'x' {
		digits, format = digits[1:], "%x"
	}
	n, err := fmt.Sscanf(string(digits), format, &r)
	return n == 1 && err == nil && utf8.ValidRune(r) && r != 0
}
