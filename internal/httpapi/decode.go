package httpapi

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	"github.com/opentact/opentact/internal/fault"
)

// maxFaults is the most bad members that one answer names; the help of validation_failed tells it.
const maxFaults = 100

// decoder fills one input and gathers every fault on the way.
type decoder struct {
	faults fault.Fields
	path   []string
	large  bool // a member was over a size limit of its own
}

func (d *decoder) push(name string) { d.path = append(d.path, name) }
func (d *decoder) pushIndex(i int)  { d.path = append(d.path, strconv.Itoa(i)) }
func (d *decoder) pop()             { d.path = d.path[:len(d.path)-1] }
func (d *decoder) full() bool       { return d.faults.Len() >= maxFaults }
func (d *decoder) at() string       { return strings.Join(d.path, ".") }

// bad notes a fault at the present path.
func (d *decoder) bad(msg string, v value) {
	if !d.full() {
		d.faults.Add(d.at(), msg, v.show())
	}
}

// own notes the error of a type that reads itself; its fields are placed below the present path.
func (d *decoder) own(err error, v value) {
	e := fault.Of(err)
	switch {
	case e == nil:
		d.bad(err.Error(), v)
	case e.Code == fault.TooLarge:
		d.large = true
	case len(e.Fields) == 0:
		d.bad(e.Public(), v)
	default:
		if f, whole := e.Fields[""]; whole {
			d.bad(f.Message, v)
			return
		}
		d.faults.Merge(d.at(), e)
	}
}

// item reads one item of a list, where null has no place.
func (d *decoder) item(set setter, v value, dst reflect.Value) {
	if v.kind() == kindNull && dst.Kind() != reflect.Interface && dst.Type() != rawJSONType {
		d.bad(textNull, v)
		return
	}
	set(d, v, dst)
}

// input fills a whole input from a request.
func (pl *plan) input(req *request, dst reflect.Value) error {
	var d decoder
	if req.body != nil && req.raw == nil && !req.form && len(req.body) > 0 {
		if k := (value{raw: req.body}).kind(); k != kindObject {
			return fault.Invalid("", "body must be an object", nil)
		}
	}
	members := make([]value, len(pl.fields))
	if req.form {
		pl.formMembers(req, members)
	} else {
		pl.members(req.body, members)
	}
	for i, f := range pl.fields {
		if f.file() {
			continue
		}
		d.push(f.name)
		d.member(f, pl.source(f, members[i], req), dst.FieldByIndex(f.index))
		d.pop()
	}
	pl.uploads(&d, req, dst)
	pl.validate(&d, dst)
	if d.large {
		return fault.New(fault.TooLarge)
	}
	return d.faults.Err()
}

// object fills a nested struct.
func (d *decoder) object(pl *plan, v value, dst reflect.Value) {
	raw := v.raw
	if v.plain {
		raw = []byte(v.text)
		if checkJSON(raw) != nil {
			raw = nil
		}
	}
	if (value{raw: raw}).kind() != kindObject {
		d.bad("must be an object", v)
		return
	}
	members := make([]value, len(pl.fields))
	pl.members(raw, members)
	for i, f := range pl.fields {
		d.push(f.name)
		d.member(f, members[i], dst.FieldByIndex(f.index))
		d.pop()
	}
	pl.validate(d, dst)
}

// validate asks the type's own rules.
func (pl *plan) validate(d *decoder, dst reflect.Value) {
	if !pl.checks {
		return
	}
	var sub fault.Fields
	dst.Addr().Interface().(Validator).Validate(&sub)
	d.faults.Merge(d.at(), sub.Err())
}

// member fills one field, or finds it missing.
func (d *decoder) member(f *field, v value, dst reflect.Value) {
	k := v.kind()
	if k == kindNone || k == kindNull && !f.takesNull() {
		switch {
		case f.required:
			d.bad(textRequired, v)
		case f.hasDef:
			f.set(d, plainValue(f.def), dst)
		case f.typ == orderingType:
			dst.Set(reflect.ValueOf(Ordering{{Field: "created_on", Desc: true}}))
		}
		return
	}
	if k == kindNull && f.required && f.typ != rawJSONType {
		d.bad(textRequired, v)
		return
	}
	if v.plain {
		if msg := v.foul(); msg != "" {
			d.bad(msg, value{})
			return
		}
	}
	f.set(d, v, dst)
}

func (f *field) takesNull() bool { return f.typ.Implements(optionalType) || f.typ == rawJSONType }

// members sorts the members of an object to their fields; the last of equal names wins, an alias never does.
func (pl *plan) members(body []byte, out []value) {
	byAlias := false
	eachMember(body, func(key string, val []byte) {
		s, ok := pl.names[key]
		if !ok {
			if s, ok = pl.names[fold(key)]; !ok {
				return
			}
		}
		if s.alias {
			byAlias = true
			return
		}
		out[s.field] = value{raw: val}
	})
	if !byAlias {
		return
	}
	eachMember(body, func(key string, val []byte) {
		if s, ok := pl.names[fold(key)]; ok && s.alias && !out[s.field].present() {
			out[s.field] = value{raw: val}
		}
	})
}

// formMembers takes the fields of a form for body members.
func (pl *plan) formMembers(req *request, out []value) {
	for key, vals := range req.fields {
		if s, ok := pl.names[fold(key)]; ok && len(vals) > 0 && (!s.alias || !out[s.field].present()) {
			out[s.field] = plainValue(strings.Join(vals, ","))
		}
	}
}

// source decides where a member comes from: path, header, query or form by tag; a member of the body that is
// missing there is looked up in the query when it is a scalar.
func (pl *plan) source(f *field, body value, req *request) value {
	if f.path != "" {
		return plainValue(req.param(f.path))
	}
	if f.header != "" {
		if h := req.http.Header.Get(f.header); h != "" {
			return plainValue(h)
		}
	}
	if f.query != "" {
		if s, ok := req.queryValue(f.query); ok {
			return plainValue(s)
		}
	}
	if f.form != "" {
		if vals := req.fields[f.form]; len(vals) > 0 {
			return plainValue(vals[0])
		}
	}
	if body.present() || f.json == "" {
		return body
	}
	if f.scalar || f.list && req.bodyless() {
		if s, ok := req.queryValue(f.json); ok {
			return plainValue(s)
		}
	}
	return value{}
}

func (f *field) file() bool { return f.typ == fileType || f.typ == reflect.PointerTo(fileType) }

// uploads fills File and Raw fields.
func (pl *plan) uploads(d *decoder, req *request, dst reflect.Value) {
	for _, f := range pl.fields {
		if !f.file() {
			continue
		}
		part, ok := req.files[f.form]
		switch {
		case !ok && f.required:
			d.push(f.name)
			d.bad(textRequired, value{})
			d.pop()
		case ok && f.typ == fileType:
			dst.FieldByIndex(f.index).Set(reflect.ValueOf(part))
		case ok:
			dst.FieldByIndex(f.index).Set(reflect.ValueOf(&part))
		}
	}
	switch {
	case pl.raw != nil && pl.raw.rules.copied:
		dst.FieldByIndex(pl.raw.index).SetBytes(req.body)
	case pl.raw != nil && req.raw != nil:
		dst.FieldByIndex(pl.raw.index).SetBytes(req.raw)
	}
}

// XMLUpload is the three ways in which a call-flow document is sent: multipart part file, raw XML, JSON member xml.
type XMLUpload struct {
	File File   `form:"file"`
	XML  string `json:"xml" format:"xml"`
	Body Raw
}

var errNoDocument = errors.New("no document")

// Text gives the document; fault.Validation when there is none, fault.TooLarge over MaxXML.
func (x XMLUpload) Text() (string, error) {
	text := x.XML
	if x.Body != nil {
		text = string(x.Body)
	}
	if x.File.Data != nil {
		text = string(x.File.Data)
	}
	if len(text) > MaxXML {
		return "", fault.New(fault.TooLarge)
	}
	if text == "" {
		e := fault.Invalid("xml", textRequired, nil)
		e.Cause = errNoDocument
		return "", e
	}
	return text, nil
}
