package httpapi

import (
	"fmt"
	"net/mail"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/ident"
)

// Limits of formats.
const (
	maxURL   = 2048
	maxEmail = 254
	MaxXML   = 64 << 10 // bytes of a call-flow document, in whatever way it is sent
)

// Texts of the faults that several places report.
const (
	textRequired = "required"
	textNull     = "must not be null"
	textNUL      = "must not contain NUL"
	textInteger  = "invalid integer number"
	textMask     = "must have digits, * or %"
)

// rules are the limits of one member, from its tags.
type rules struct {
	min, max, above *float64 // min:"1" max:"100" above:"0" (exclusive)
	minLen, maxLen  int      // code points; -1 when unset
	minItems        int
	maxItems        int
	enum            []string
	fold            bool // enum without regard to case; the canonical spelling is stored
	format          string
	pattern         *regexp.Regexp
	notNull         bool // `notnull:"true"`: an Opt that refuses null
	lenient         bool // `lenient:"true"`: a string that takes numbers too
	any             bool // `raw:"any"`: a Raw that takes the body whatever it is
	copied          bool // `raw:"json"`: a Raw with the JSON body that the other members are read from
	order           []string
}

func rulesOf(sf reflect.StructField) *rules {
	tag := sf.Tag
	r := &rules{
		min: floatTag(sf, "min"), max: floatTag(sf, "max"), above: floatTag(sf, "above"),
		minLen: intTag(sf, "minLength"), maxLen: intTag(sf, "maxLength"),
		minItems: intTag(sf, "minItems"), maxItems: intTag(sf, "maxItems"),
		fold: tag.Get("fold") == "true", format: tag.Get("format"),
		notNull: tag.Get("notnull") == "true", lenient: tag.Get("lenient") == "true", any: tag.Get("raw") == "any", copied: tag.Get("raw") == "json",
	}
	if e := tag.Get("enum"); e != "" {
		r.enum = strings.Split(e, ",")
	}
	if p := tag.Get("pattern"); p != "" {
		r.pattern = regexp.MustCompile(`^(?:` + p + `)$`)
	}
	switch r.format {
	case "", "uuid", "tn", "tnmask", "party", "url", "dt", "a2", "email", "money", "xml", "password":
	default:
		panic(fmt.Sprintf("httpapi: unknown format %q at %s", r.format, sf.Name))
	}
	return r
}

func floatTag(sf reflect.StructField, key string) *float64 {
	s, ok := sf.Tag.Lookup(key)
	if !ok {
		return nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("httpapi: tag %s of %s: %v", key, sf.Name, err))
	}
	return &v
}

func intTag(sf reflect.StructField, key string) int {
	s, ok := sf.Tag.Lookup(key)
	if !ok {
		return -1
	}
	v, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("httpapi: tag %s of %s: %v", key, sf.Name, err))
	}
	return v
}

// number checks a numeric value; the text is empty when it is within its limits.
func (r *rules) number(v float64) string {
	switch {
	case r.min != nil && v < *r.min:
		return "must be at least " + plain(*r.min)
	case r.max != nil && v > *r.max:
		return "must be at most " + plain(*r.max)
	case r.above != nil && v <= *r.above:
		return "must be greater than " + plain(*r.above)
	}
	return ""
}

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// items checks the length of a list.
func (r *rules) items(n int) string {
	switch {
	case r.minItems >= 0 && n < r.minItems:
		return "must have at least " + strconv.Itoa(r.minItems) + " items"
	case r.maxItems >= 0 && n > r.maxItems:
		return "must have at most " + strconv.Itoa(r.maxItems) + " items"
	}
	return ""
}

// text checks a string and gives its canonical form.
func (r *rules) text(s string) (string, string) {
	if strings.IndexByte(s, 0) >= 0 {
		return s, textNUL
	}
	if r.minLen >= 0 || r.maxLen >= 0 {
		n := utf8.RuneCountInString(s)
		if n < r.minLen {
			return s, "must have at least " + strconv.Itoa(r.minLen) + " characters"
		}
		if r.maxLen >= 0 && n > r.maxLen {
			return s, "must have at most " + strconv.Itoa(r.maxLen) + " characters"
		}
	}
	if r.enum != nil {
		return r.word(s)
	}
	if r.pattern != nil && !r.pattern.MatchString(s) {
		return s, "has a wrong form"
	}
	return checkFormat(r.format, s)
}

func (r *rules) word(s string) (string, string) {
	for _, e := range r.enum {
		if e == s || r.fold && strings.EqualFold(e, s) {
			return e, ""
		}
	}
	return s, "must be one of " + strings.Join(r.enum, ", ")
}

// checkFormat checks a named format and gives the canonical spelling.
func checkFormat(format, s string) (string, string) {
	switch format {
	case "uuid":
		if id, err := ident.Parse(s); err == nil {
			return id, ""
		}
		return s, "invalid uuid"
	case "tn":
		n, err := e164.Parse(s)
		if err != nil {
			return s, textInteger
		}
		return string(n), ""
	case "tnmask":
		m, err := e164.ParseMask(s)
		if err != nil {
			return s, textMask
		}
		return string(m), ""
	case "party":
		return checkParty(s)
	case "url":
		return s, checkURL(s)
	case "dt":
		if _, err := ParseTime(s); err != nil {
			return s, err.Error()
		}
	case "a2":
		if up := strings.ToUpper(s); len(up) == 2 && letters(up) {
			return up, ""
		}
		return s, "invalid country code"
	case "email":
		return s, checkEmail(s)
	case "money":
		if _, err := readAmount(s); err != nil {
			return s, err.Error()
		}
	}
	return s, ""
}

// checkParty takes the filter of a party: a number, compared by digits (rest-conventions §7), or a mask of another name, such as a SIP address or the
// name of a sender, which has a letter in it.
func checkParty(s string) (string, string) {
	m, err := e164.ParseMask(s)
	switch {
	case err == nil:
		return string(m), ""
	case strings.ContainsFunc(s, unicode.IsLetter):
		return strings.TrimSpace(s), ""
	}
	return s, textMask
}

func letters(s string) bool {
	for _, c := range s {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// checkURL takes absolute http and https URLs with a host (rest-conventions §6).
func checkURL(s string) string {
	if utf8.RuneCountInString(s) > maxURL {
		return "must have at most " + strconv.Itoa(maxURL) + " characters"
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.ContainsAny(s, " \t\r\n") {
		return "invalid URL"
	}
	return ""
}

// checkEmail takes one bare addr-spec (RFC 5322 §3.4.1), no display name.
func checkEmail(s string) string {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > maxEmail {
		return "invalid e-mail address"
	}
	return ""
}
