package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

// The setters of this file take a value that is present and not null.

func setString(r *rules) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		s, ok := v.scalar()
		if k := v.kind(); !ok || k != kindString && (k != kindNumber || !r.lenient) {
			d.bad("must be a string", v)
			return
		}
		if r.format == "xml" && len(s) > MaxXML {
			d.large = true
			return
		}
		s, msg := r.text(s)
		if msg != "" {
			d.bad(msg, v)
			return
		}
		dst.SetString(s)
	}
}

func setBool(d *decoder, v value, dst reflect.Value) {
	s, _ := v.scalar()
	switch strings.ToLower(s) {
	case "true", "1":
		dst.SetBool(true)
	case "false", "0":
		dst.SetBool(false)
	default:
		d.bad("invalid boolean", v)
	}
}

// whole reads an integer; 12, "12", 12.0 and 1.2e1 are the same.
func whole(s string) (int64, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, ok := decimal(s)
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// decimal reads a number in JSON's notation; a leading + is taken too.
func decimal(s string) (float64, bool) {
	if s == "" || strings.Trim(s, "+-.0123456789eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// numeric gives the text of a value that may stand for a number: a boolean may not.
func numeric(v value) (string, bool) {
	s, ok := v.scalar()
	return strings.TrimSpace(s), ok && v.kind() != kindBool
}

func setInt(r *rules) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		s, ok := numeric(v)
		n, isInt := whole(s)
		if !ok || !isInt || dst.OverflowInt(n) {
			d.bad(textInteger, v)
			return
		}
		if msg := r.number(float64(n)); msg != "" {
			d.bad(msg, v)
			return
		}
		if r.enum != nil {
			if _, msg := r.word(strconv.FormatInt(n, 10)); msg != "" {
				d.bad(msg, v)
				return
			}
		}
		dst.SetInt(n)
	}
}

func setUint(r *rules) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		s, ok := numeric(v)
		n, isInt := whole(s)
		if !ok || !isInt || n < 0 || dst.OverflowUint(uint64(n)) {
			d.bad(textInteger, v)
			return
		}
		if msg := r.number(float64(n)); msg != "" {
			d.bad(msg, v)
			return
		}
		dst.SetUint(uint64(n))
	}
}

func setFloat(r *rules) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		s, ok := numeric(v)
		n, isNum := decimal(s)
		if !ok || !isNum {
			d.bad("invalid number", v)
			return
		}
		if msg := r.number(n); msg != "" {
			d.bad(msg, v)
			return
		}
		dst.SetFloat(n)
	}
}

var errAmount = errors.New("invalid amount of money")

// readAmount reads an amount of money; exponents are taken as long as the value has at most six decimals.
func readAmount(s string) (money.Amount, error) {
	if strings.ContainsAny(s, "eE") {
		f, ok := decimal(s)
		if !ok || math.Abs(f) > 1e12 {
			return 0, errAmount
		}
		s = strconv.FormatFloat(f, 'f', -1, 64)
	}
	a, err := money.Parse(s)
	if err != nil {
		return 0, errAmount
	}
	return a, nil
}

func setAmount(r *rules) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		s, ok := numeric(v)
		a, err := readAmount(s)
		if !ok || err != nil {
			d.bad(errAmount.Error(), v)
			return
		}
		if msg := r.number(float64(a) / float64(money.Unit)); msg != "" {
			d.bad(msg, v)
			return
		}
		dst.SetInt(int64(a))
	}
}

func setNumber(d *decoder, v value, dst reflect.Value) {
	s, ok := numeric(v)
	n, err := e164.Parse(s)
	if !ok || err != nil {
		d.bad(textInteger, v)
		return
	}
	dst.SetString(string(n))
}

func setTime(*rules) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		s, _ := v.scalar()
		t, err := ParseTime(s)
		if err != nil || v.kind() != kindString {
			d.bad(errTime.Error(), v)
			return
		}
		dst.Set(reflect.ValueOf(t))
	}
}

func setRaw(d *decoder, v value, dst reflect.Value) { dst.SetBytes(bytes.Clone(v.json())) }

func setNothing(*decoder, value, reflect.Value) {}

func setOrder(r *rules) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		o, err := readOrder(v, r.order)
		if err != nil {
			d.own(err, v)
			return
		}
		dst.Set(reflect.ValueOf(o))
	}
}

func setOptional(inner setter, r *rules) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		if v.kind() == kindNull {
			if r.notNull {
				d.bad(textNull, v)
				return
			}
			dst.Field(0).SetBool(true)
			dst.Field(1).SetBool(true)
			return
		}
		dst.Field(0).SetBool(true)
		inner(d, v, dst.Field(2))
	}
}

func setPointer(inner setter) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		p := reflect.New(dst.Type().Elem())
		inner(d, v, p.Elem())
		dst.Set(p)
	}
}

func setSlice(inner setter, r *rules) setter {
	return func(d *decoder, v value, dst reflect.Value) {
		if v.plain {
			setPlainList(d, v, dst, inner, r)
			return
		}
		if v.kind() != kindArray {
			d.bad("must be an array", v)
			return
		}
		n := 0
		eachItem(v.raw, func(int, []byte) bool { n++; return true })
		if msg := r.items(n); msg != "" {
			d.bad(msg, v)
			return
		}
		out := reflect.MakeSlice(dst.Type(), n, n)
		eachItem(v.raw, func(i int, raw []byte) bool {
			d.pushIndex(i)
			d.item(inner, value{raw: raw}, out.Index(i))
			d.pop()
			return !d.full()
		})
		dst.Set(out)
	}
}

// setPlainList reads the comma list of a query or form.
func setPlainList(d *decoder, v value, dst reflect.Value, inner setter, r *rules) {
	var parts []string
	if v.text != "" {
		parts = strings.Split(v.text, ",")
	}
	if msg := r.items(len(parts)); msg != "" {
		d.bad(msg, v)
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(parts), len(parts))
	for i, s := range parts {
		d.pushIndex(i)
		inner(d, plainValue(strings.TrimSpace(s)), out.Index(i))
		d.pop()
	}
	dst.Set(out)
}

// setMap reads an object; numbers of maps to any arrive as json.Number, so that they are echoed as they came.
func setMap(d *decoder, v value, dst reflect.Value) {
	if v.plain && !json.Valid([]byte(v.text)) || !v.plain && v.kind() != kindObject {
		d.bad("must be an object", v)
		return
	}
	raw := v.raw
	if v.plain {
		raw = []byte(v.text)
	}
	if unmarshal(raw, dst) != nil {
		d.bad("must be an object", v)
	}
}

func setAny(d *decoder, v value, dst reflect.Value) {
	if unmarshal(v.json(), dst) != nil {
		d.bad("has a wrong form", v)
	}
}

func unmarshal(raw []byte, dst reflect.Value) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return dec.Decode(dst.Addr().Interface())
}

// setOwn hands the JSON text to a type with Decode.
func setOwn(d *decoder, v value, dst reflect.Value) {
	if msg := v.foul(); msg != "" {
		d.bad(msg, v)
		return
	}
	u := dst.Addr().Interface().(unmarshaler)
	if err := u.Decode(bytes.Clone(v.json())); err != nil {
		d.own(err, v)
	}
}

// setUnmarshal hands the JSON text to a type with UnmarshalJSON.
func setUnmarshal(d *decoder, v value, dst reflect.Value) {
	if msg := v.foul(); msg != "" {
		d.bad(msg, v)
		return
	}
	if err := json.Unmarshal(v.json(), dst.Addr().Interface()); err != nil {
		if fault.Of(err) == nil {
			err = errors.New("has a wrong form")
		}
		d.own(err, v)
	}
}
