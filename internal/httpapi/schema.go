package httpapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/opentact/opentact/internal/e164"
)

// Schema describes a moment to the OpenAPI document.
func (Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Description: "ISO 8601 in UTC with milliseconds"}
}

// Schema describes an ordering to the OpenAPI document.
func (Ordering) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Description: "field to direction, the first one first",
		AdditionalProperties: &huma.Schema{Type: huma.TypeString, Enum: []any{"ASC", "DESC"}},
	}
}

// Schema describes a member of a PATCH to the OpenAPI document.
func (Opt[T]) Schema(r huma.Registry) *huma.Schema { return r.Schema(reflect.TypeFor[T](), true, "") }

// Schema describes an envelope whose payload is written by hand.
func (Envelope) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

// amountShape and numberShape stand in the document for kernel types, which know nothing of it.
type amountShape struct{}

func (amountShape) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Format: "double", Description: "money in US dollars, at most 6 decimals"}
}

type numberShape struct{}

func (numberShape) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Nullable: true, Description: fmt.Sprintf(
		"phone number: %d to %d digits with country code", e164.MinDigits, e164.MaxDigits)}
}

// newRegistry makes the schemas of output types.
func newRegistry() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", (&namer{byType: map[reflect.Type]string{}, taken: map[string]bool{"Error": true, "Problem": true}}).name)
	r.RegisterTypeAlias(amountType, reflect.TypeFor[amountShape]())
	r.RegisterTypeAlias(numberType, reflect.TypeFor[numberShape]())
	return r
}

// namer gives each type one name: its own, with its package in front when two packages use the same.
type namer struct {
	byType map[reflect.Type]string
	taken  map[string]bool
}

func (n *namer) name(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := n.byType[t]; ok {
		return s
	}
	s := typeName(t)
	if s == "" {
		s = strings.TrimSpace(hint)
		if s == "" {
			s = "Object"
		}
	}
	if t.Kind() != reflect.Struct {
		return s // only structs are kept under their name
	}
	if n.taken[s] {
		pkg := t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
		s = capital(pkg) + s
	}
	base := s
	for i := 2; n.taken[s]; i++ {
		s = base + strconv.Itoa(i)
	}
	n.byType[t], n.taken[s] = s, true
	return s
}

// typeName is the name of a type for readers: Page[x/messaging.smsWire] is SmsPage.
func typeName(t reflect.Type) string {
	name, args, generic := strings.Cut(t.Name(), "[")
	name = trimShape(name)
	if !generic {
		return capital(name)
	}
	var inner string
	for _, arg := range strings.Split(strings.TrimSuffix(args, "]"), ",") {
		arg = strings.Trim(arg, "[]*")
		inner += capital(trimShape(arg[strings.LastIndexAny(arg, "./")+1:]))
	}
	return inner + capital(name)
}

// trimShape drops the endings by which packages tell wire shapes from their own types.
func trimShape(s string) string {
	for _, end := range []string{"Wire", "JSON", "Shape", "View", "Out"} {
		if t := strings.TrimSuffix(s, end); t != "" {
			s = t
		}
	}
	return s
}

func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// inputSchema describes the body of an operation from its plan; nil when it takes none. Depth ends recursive types.
func (pl *plan) inputSchema(depth int) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}}
	for _, f := range pl.fields {
		name := f.json
		if name == "" && f.form != "" {
			name = f.form
		}
		if name == "" || f.path != "" {
			continue
		}
		s.Properties[name] = f.schema(depth)
		if f.required {
			s.Required = append(s.Required, name)
		}
	}
	if len(s.Properties) == 0 {
		return nil
	}
	return s
}

// schema describes one member.
func (f *field) schema(depth int) *huma.Schema {
	s := shapeOf(f.typ, f.sub, depth)
	s.Description = f.doc
	target := s
	if s.Items != nil {
		target = s.Items
		s.MinItems, s.MaxItems = bound(f.rules.minItems), bound(f.rules.maxItems)
	}
	r := f.rules
	if target.Type == huma.TypeString {
		target.MinLength, target.MaxLength = bound(r.minLen), bound(r.maxLen)
	}
	target.Minimum, target.Maximum, target.ExclusiveMinimum = r.min, r.max, r.above
	if r.pattern != nil {
		target.Pattern = r.pattern.String()
	}
	for _, e := range r.enum {
		if n, err := strconv.Atoi(e); err == nil && target.Type == huma.TypeInteger {
			target.Enum = append(target.Enum, n)
			continue
		}
		target.Enum = append(target.Enum, e)
	}
	if wire := wireFormat(r.format); wire != "" {
		target.Format = wire
	}
	if f.hasDef {
		s.Default = defaultOf(s.Type, f.def)
	}
	if f.typ == orderingType {
		s.Properties = map[string]*huma.Schema{}
		for _, name := range r.order {
			s.Properties[name] = &huma.Schema{Type: huma.TypeString, Enum: []any{"ASC", "DESC"}}
		}
	}
	return s
}

func bound(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

func wireFormat(format string) string {
	switch format {
	case "url":
		return "uri"
	case "dt":
		return "date-time"
	case "uuid", "email", "password":
		return format
	}
	return ""
}

func defaultOf(kind, def string) any {
	if kind == huma.TypeString {
		return def
	}
	var v any
	if json.Unmarshal([]byte(def), &v) != nil {
		return def
	}
	return v
}

// shapeOf is the bare schema of an input type.
func shapeOf(t reflect.Type, sub *plan, depth int) *huma.Schema {
	switch {
	case t.Implements(optionalType):
		s := shapeOf(t.Field(2).Type, sub, depth)
		s.Nullable = s.Type != ""
		return s
	case t == amountType:
		return amountShape{}.Schema(nil)
	case t == numberType:
		return &huma.Schema{Description: "phone number, integer or string"}
	case t == timeType:
		return Time{}.Schema(nil)
	case t == orderingType:
		return Ordering{}.Schema(nil)
	case t == fileType:
		return &huma.Schema{Type: huma.TypeString, Format: "binary"}
	case t == rawJSONType, t == rawType, reflect.PointerTo(t).Implements(unmarshalerType):
		return &huma.Schema{}
	case t.Kind() == reflect.Pointer:
		return shapeOf(t.Elem(), sub, depth)
	case reflect.PointerTo(t).Implements(jsonReaderType):
		return &huma.Schema{}
	}
	switch t.Kind() {
	case reflect.String:
		return &huma.Schema{Type: huma.TypeString}
	case reflect.Bool:
		return &huma.Schema{Type: huma.TypeBoolean}
	case reflect.Float32, reflect.Float64:
		return &huma.Schema{Type: huma.TypeNumber}
	case reflect.Slice:
		return &huma.Schema{Type: huma.TypeArray, Items: shapeOf(t.Elem(), sub, depth)}
	case reflect.Struct:
		if depth > 0 && sub != nil {
			if s := sub.inputSchema(depth - 1); s != nil {
				return s
			}
		}
		return &huma.Schema{Type: huma.TypeObject}
	case reflect.Map:
		return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
	case reflect.Interface:
		return &huma.Schema{}
	}
	return &huma.Schema{Type: huma.TypeInteger}
}
