package flow

import (
	"context"
	"strings"
)

// group is a set of element kinds, to say who may stand where.
type group uint16

const (
	isCommand group = 1 << iota
	isPrompt        // may stand directly in a Gather
	isTarget        // may stand in a Dial
	isMeta
	isError
	isDTMF
	isSwitch
	isCase
	isDefault
	isHeader
	isBody

	side = isMeta | isError // what every command may hold
)

// spec is an element's row in the table.
type spec struct {
	name  string
	is    group  // where it may stand
	holds group  // what may stand in it
	attrs []attr // without tag, which every element but those with bare set has
	bare  bool   // no tag attribute
	text  textUse
	value string                   // attribute that the text stands for; one of the two must be there
	must  string                   // what is missing when neither is there; "" lets both be absent
	check func(n *Node) *complaint // rules of the whole element, after its end tag

	media  bool // answers the call first, unless early
	inside bool // runs inside a bridge; others end it
	filter bool // always succeeds; one that cannot be judged does not match
	run    verb // nil: not a command, or one the machine itself does (Meta, Switch)
}

// textUse says what the text of an element is.
type textUse uint8

const (
	noText textUse = iota
	oneValue
	spoken // runs of white space collapse
)

// verb does one command. The reason goes into the report of a success; an error is a failure and its text the reason.
type verb func(ctx context.Context, m *Machine, c *command) (reason string, err error)

// attr is an attribute's row.
type attr struct {
	name  string
	alias []string
	def   string
	kind  *kind
	must  bool
}

// kind is a type of attribute values.
type kind struct {
	// check gives the value in its canonical spelling, or what is wrong with it ("must be …").
	check func(v string) (canonical, wrong string)
	url   bool // templates in it are percent-encoded
}

// complaint is a rule broken at a place.
type complaint struct {
	line, column int
	text         string
}

// reports tells whether the element is a command with an event of its own (xml.md §3.1).
func (s *spec) reports() bool { return s.run != nil }

// attr finds a row by the spelling of a document; the second result is the canonical spelling.
func (s *spec) attr(name string) (*attr, string) {
	for i := range s.attrs {
		a := &s.attrs[i]
		if strings.EqualFold(a.name, name) {
			return a, a.name
		}
		for _, other := range a.alias {
			if strings.EqualFold(other, name) {
				return a, other
			}
		}
	}
	if !s.bare && strings.EqualFold(name, "tag") {
		return &tagAttr, tagAttr.name
	}
	return nil, ""
}

// row finds a row by its table name; asking for one that is not there is a broken program.
func (s *spec) row(name string) *attr {
	if a, _ := s.attr(name); a != nil && a.name == name {
		return a
	}
	panic("flow: <" + s.name + "> has no attribute " + name)
}

var tagAttr = attr{name: "tag", kind: upTo(maxTag)}
