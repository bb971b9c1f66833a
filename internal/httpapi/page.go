package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/opentact/opentact/internal/fault"
)

// OrderBy is one field of a search order.
type OrderBy struct {
	Field string
	Desc  bool
}

// Ordering is an object field → ASC|DESC that keeps its order.
type Ordering []OrderBy

// MarshalJSON writes the object in its order.
func (o Ordering) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, by := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(by.Field)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		if by.Desc {
			b.WriteString(`:"DESC"`)
		} else {
			b.WriteString(`:"ASC"`)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Page is one window of a search's result.
type Page[T any] struct {
	Take  int      `json:"take"`
	Skip  int      `json:"skip"`
	Total int      `json:"total"`
	Data  []T      `json:"data"`
	Mode  string   `json:"mode,omitempty"`
	Order Ordering `json:"order,omitempty"`
	Page  int      `json:"page,omitempty"` // number search only
	Size  int      `json:"size,omitempty"` // number search only
}

func (p Page[T]) whole() any {
	if p.Data == nil {
		p.Data = []T{}
	}
	return p
}

// PageOf makes the page that answers a search.
func PageOf[T any](s Search, total int, data []T) Page[T] {
	return Page[T]{Take: s.Take, Skip: s.Skip, Total: total, Data: data, Mode: s.Mode, Order: s.Order}
}

// Search holds the common members of a search. Embed it with the fields that may be sorted by in the tag
// `orderable:"tn,created_on,modified_on"`, or give the input a method OrderFields() []string; without either they
// are created_on and modified_on.
type Search struct {
	Take         int      `json:"take" query:"take" min:"1" max:"100" default:"10"`
	Skip         int      `json:"skip" query:"skip" min:"0" max:"1000000000" default:"0"`
	Mode         string   `json:"mode" enum:"AND,OR" fold:"true" default:"AND" doc:"joins the filters"`
	Order        Ordering `json:"order" doc:"field to ASC or DESC"`
	CreatedFrom  *Time    `json:"created_on_from"`
	CreatedTo    *Time    `json:"created_on_to"`
	ModifiedFrom *Time    `json:"modified_on_from"`
	ModifiedTo   *Time    `json:"modified_on_to"`
}

// Or tells whether the filters are joined by OR.
func (s Search) Or() bool { return s.Mode == "OR" }

// Window is the take and skip of a GET that answers a page.
type Window struct {
	Take int `json:"take" query:"take" min:"1" max:"100" default:"10"`
	Skip int `json:"skip" query:"skip" min:"0" max:"1000000000" default:"0"`
}

// PageIn makes the page of a Window.
func PageIn[T any](w Window, total int, data []T) Page[T] {
	return Page[T]{Take: w.Take, Skip: w.Skip, Total: total, Data: data}
}

// List is the optional window of a plain list, newest first: Part and Listed cut a list that is at hand whole, others give the total to SetTotal.
type List struct {
	Take int `query:"take" min:"1" max:"1000" default:"1000"`
	Skip int `query:"skip" min:"0" max:"1000000000" default:"0"`
}

// Part gives the window of a whole list and says how many items there are in all.
func Part[T any](ctx context.Context, w List, list []T) []T {
	SetTotal(ctx, len(list))
	return list[min(w.Skip, len(list)):min(w.Skip+w.Take, len(list))]
}

// Listed renders the window of a whole list and says how many items there are in all.
func Listed[T, W any](ctx context.Context, w List, list []T, view func(*T) (W, error)) ([]W, error) {
	part := Part(ctx, w, list)
	out := make([]W, len(part))
	for i := range part {
		var err error
		if out[i], err = view(&part[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// orderFields is an input that names what it may be sorted by.
type orderFields interface{ OrderFields() []string }

// readOrder fills an Ordering from an object; allowed lists the sortable fields.
func readOrder(v value, allowed []string) (Ordering, error) {
	raw := v.raw
	if v.plain {
		raw = []byte(v.text)
		if !json.Valid(raw) {
			return nil, fault.Invalid("", "must be an object", v.text)
		}
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '{' {
		return nil, fault.Invalid("", "must be an object", v.show())
	}
	var out Ordering
	var bad fault.Fields
	eachMember(raw, func(key string, val []byte) {
		field, ok := pick(allowed, key)
		if !ok {
			bad.Add(key, "cannot be sorted by", value{raw: val}.show())
			return
		}
		dir, _ := value{raw: val}.scalar()
		switch strings.ToUpper(dir) {
		case "ASC", "DESC":
			out = append(out, OrderBy{Field: field, Desc: strings.EqualFold(dir, "DESC")})
		default:
			bad.Add(key, "must be ASC or DESC", value{raw: val}.show())
		}
	})
	return out, bad.Err()
}

// pick finds a word in a list without regard to case and gives its spelling there.
func pick(list []string, word string) (string, bool) {
	for _, w := range list {
		if strings.EqualFold(w, word) {
			return w, true
		}
	}
	return "", false
}
