package httpapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

// A plan says how a struct type is filled from a request; it is compiled once, when the operation is registered.
// A malformed tag is a broken program and panics there.
type plan struct {
	typ    reflect.Type
	fields []*field
	names  map[string]slot // lower-case member names and aliases
	checks bool            // the type has Validate
	raw    *field          // takes the whole body
}

// slot is where a body member goes; an alias yields to the canonical name.
type slot struct {
	field int
	alias bool
}

// field is one member of a plan.
type field struct {
	index    []int
	name     string // the key of its faults
	json     string
	query    string
	path     string
	header   string
	form     string
	required bool
	hasDef   bool
	def      string
	typ      reflect.Type
	set      setter
	scalar   bool // may stand in the query
	list     bool
	rules    *rules
	sub      *plan // of a nested struct or the items of a list of them
	doc      string
}

// setter fills dst from a value and reports faults to the decoder.
type setter func(d *decoder, v value, dst reflect.Value)

// Validator is an input, or a part of one, that has rules of its own; its faults join those of the decoder.
type Validator interface{ Validate(f *fault.Fields) }

// unmarshaler is a type of the caller that reads its own JSON, such as a union; plain text arrives quoted.
type unmarshaler interface {
	Decode(raw json.RawMessage) error
}

var (
	optionalType    = reflect.TypeFor[optional]()
	validatorType   = reflect.TypeFor[Validator]()
	unmarshalerType = reflect.TypeFor[unmarshaler]()
	jsonReaderType  = reflect.TypeFor[json.Unmarshaler]()
	amountType      = reflect.TypeFor[money.Amount]()
	numberType      = reflect.TypeFor[e164.Number]()
	timeType        = reflect.TypeFor[Time]()
	rawJSONType     = reflect.TypeFor[json.RawMessage]()
	rawType         = reflect.TypeFor[Raw]()
	fileType        = reflect.TypeFor[File]()
	orderingType    = reflect.TypeFor[Ordering]()
)

// planner compiles plans; it remembers types so that recursive ones end.
type planner struct{ known map[reflect.Type]*plan }

// planOf compiles the plan of an input struct.
func planOf(t reflect.Type) *plan {
	p := &planner{known: map[reflect.Type]*plan{}}
	var order []string
	if o, ok := reflect.New(t).Interface().(orderFields); ok {
		order = o.OrderFields()
	}
	return p.compile(t, order)
}

func (p *planner) compile(t reflect.Type, order []string) *plan {
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("httpapi: input %s is no struct", t))
	}
	if pl := p.known[t]; pl != nil {
		return pl
	}
	pl := &plan{typ: t, names: map[string]slot{}, checks: reflect.PointerTo(t).Implements(validatorType)}
	p.known[t] = pl
	p.walk(pl, t, nil, order)
	for i, f := range pl.fields {
		if f.json != "" {
			pl.names[fold(f.json)] = slot{field: i}
		}
	}
	return pl
}

// walk adds the fields of a struct, those of embedded structs in their place.
func (p *planner) walk(pl *plan, t reflect.Type, at []int, order []string) {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(append([]int(nil), at...), i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct && sf.Tag.Get("json") == "" {
			inner := order
			if o := sf.Tag.Get("orderable"); o != "" {
				inner = strings.Split(o, ",")
			}
			if sf.Type != timeType {
				p.walk(pl, sf.Type, index, inner)
			}
			continue
		}
		if !sf.IsExported() {
			continue
		}
		if f := p.field(sf, index, order); f != nil {
			p.add(pl, f, sf)
		}
	}
}

func (p *planner) add(pl *plan, f *field, sf reflect.StructField) {
	if f.typ == rawType && f.json == "" {
		if pl.raw != nil {
			panic("httpapi: two Raw fields in " + pl.typ.String())
		}
		pl.raw = f
		return
	}
	// A field declared by the outer struct replaces one of an embedded struct, as in encoding/json.
	for i, old := range pl.fields {
		if f.json != "" && old.json == f.json || f.json == "" && f.query != "" && old.query == f.query {
			if len(old.index) > len(f.index) {
				pl.fields[i] = f
			}
			return
		}
	}
	pl.fields = append(pl.fields, f)
	if a := sf.Tag.Get("alias"); a != "" {
		for _, name := range strings.Split(a, ",") {
			if _, taken := pl.names[fold(name)]; !taken {
				pl.names[fold(name)] = slot{field: len(pl.fields) - 1, alias: true}
			}
		}
	}
}

// field reads the tags of one struct field; nil when it takes nothing from a request.
func (p *planner) field(sf reflect.StructField, index []int, order []string) *field {
	tag := sf.Tag
	name, _, _ := strings.Cut(tag.Get("json"), ",")
	if name == "-" {
		name = ""
	}
	f := &field{
		index: index, json: name, query: tag.Get("query"), path: tag.Get("path"), header: tag.Get("header"),
		form: tag.Get("form"), required: tag.Get("required") == "true", typ: sf.Type, doc: tag.Get("doc"),
	}
	f.def, f.hasDef = tag.Lookup("default")
	for _, n := range []string{f.json, f.path, f.query, f.form, f.header} {
		if n != "" {
			f.name = n
			break
		}
	}
	if f.name == "" && sf.Type != rawType {
		return nil
	}
	f.rules = rulesOf(sf)
	if sf.Type == orderingType {
		f.rules.order = order
		if order == nil {
			f.rules.order = []string{"created_on", "modified_on"}
		}
	}
	if sf.Type == rawType && f.json == "" {
		return f
	}
	f.set, f.scalar = p.setter(sf.Type, f.rules, f)
	return f
}

// setter chooses how a type is read, and tells whether it may stand in a query.
func (p *planner) setter(t reflect.Type, r *rules, f *field) (setter, bool) {
	switch {
	case t.Implements(optionalType):
		inner, scalar := p.setter(t.Field(2).Type, r, f)
		return setOptional(inner, r), scalar
	case t == amountType:
		return setAmount(r), true
	case t == numberType:
		return setNumber, true
	case t == timeType:
		return setTime(r), true
	case t == rawJSONType, t == rawType:
		return setRaw, false
	case t == orderingType:
		return setOrder(r), false
	case t == fileType:
		return setNothing, false
	case reflect.PointerTo(t).Implements(unmarshalerType):
		return setOwn, true
	case t.Kind() == reflect.Pointer:
		inner, scalar := p.setter(t.Elem(), r, f)
		return setPointer(inner), scalar
	case reflect.PointerTo(t).Implements(jsonReaderType):
		return setUnmarshal, true
	}
	switch t.Kind() {
	case reflect.String:
		return setString(r), true
	case reflect.Bool:
		return setBool, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return setInt(r), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return setUint(r), true
	case reflect.Float32, reflect.Float64:
		return setFloat(r), true
	case reflect.Slice:
		f.list = true
		inner, _ := p.setter(t.Elem(), r, f)
		return setSlice(inner, r), false
	case reflect.Map:
		return setMap, false
	case reflect.Interface:
		return setAny, false
	case reflect.Struct:
		sub := p.compile(t, nil)
		f.sub = sub
		return func(d *decoder, v value, dst reflect.Value) { d.object(sub, v, dst) }, false
	}
	panic(fmt.Sprintf("httpapi: type %s cannot be read from a request", t))
}
