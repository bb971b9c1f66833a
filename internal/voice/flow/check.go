package flow

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kinds of values, xml.md §6.
var (
	anyText  = &kind{check: func(v string) (string, string) { return v, "" }}
	anyURL   = &kind{check: checkURL, url: true}
	boolean  = &kind{check: checkBool}
	duration = number(0, math.MaxInt32)
	repeats  = number(0, 1000)
	legs     = enum("aleg", "bleg", "both")
	keys     = &kind{check: checkKeys}
	keyList  = &kind{check: checkKeyList}
	volume   = &kind{check: checkVolume}
	toneList = &kind{check: checkTones}
	days     = &kind{check: checkDays}
	hours    = &kind{check: func(v string) (string, string) { _, c, wrong := parseHours(v); return c, wrong }}
	dates    = &kind{check: func(v string) (string, string) { _, c, wrong := parseDates(v); return c, wrong }}
	zone     = &kind{check: checkZone}
	metaName = &kind{check: checkMetaName}
	dialKeys = &kind{check: checkDialKeys}
	ringing  = &kind{check: checkRingback, url: true}
)

const (
	keySet  = "0123456789*#ABCD"
	dayList = "sun,mon,tue,wed,thu,fri,sat"
)

func enum(values ...string) *kind {
	wrong := "must be " + strings.Join(values, ", ")
	if n := len(values); n > 1 {
		wrong = "must be " + strings.Join(values[:n-1], ", ") + " or " + values[n-1]
	}
	return &kind{check: func(v string) (string, string) {
		for _, known := range values {
			if strings.EqualFold(known, v) {
				return known, ""
			}
		}
		return "", wrong
	}}
}

// number is a whole number in a range, ends included.
func number(low, high int) *kind {
	wrong := fmt.Sprintf("must be a whole number from %d to %d", low, high)
	if high == math.MaxInt32 {
		wrong = fmt.Sprintf("must be a whole number from %d", low)
	}
	return &kind{check: func(v string) (string, string) {
		n, err := strconv.Atoi(v)
		if err != nil || n < low || n > high || v[0] == '+' || v[0] == '-' {
			return "", wrong
		}
		return strconv.Itoa(n), ""
	}}
}

// upTo is any text of at most so many characters.
func upTo(most int) *kind {
	return &kind{check: func(v string) (string, string) {
		if utf8.RuneCountInString(v) > most {
			return "", fmt.Sprintf("must not be longer than %d characters", most)
		}
		return v, ""
	}}
}

func checkURL(v string) (string, string) {
	scheme, rest, _ := strings.Cut(v, "://")
	if (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) && rest != "" && !strings.ContainsAny(v, " \t\r\n") {
		return v, ""
	}
	return "", "must be a URL that starts with http:// or https://"
}

func checkRingback(v string) (string, string) {
	switch low := strings.ToLower(v); low {
	case "early", "tone", "none":
		return low, ""
	}
	if _, wrong := checkURL(v); wrong != "" {
		return "", "must be early, tone, none or a URL"
	}
	return v, ""
}

func checkBool(v string) (string, string) {
	switch strings.ToLower(v) {
	case "true", "1":
		return "true", ""
	case "false", "0":
		return "false", ""
	}
	return "", "must be true, false, 1 or 0"
}

// only gives v in capitals when it holds nothing but characters of the set.
func only(v, set string) (string, bool) {
	v = strings.ToUpper(v)
	for i := 0; i < len(v); i++ {
		if strings.IndexByte(set, v[i]) < 0 {
			return "", false
		}
	}
	return v, true
}

func checkKeys(v string) (string, string) {
	if up, ok := only(v, keySet+"+"); ok {
		return up, ""
	}
	return "", "must hold only the keys 0-9, *, #, A-D"
}

func checkDialKeys(v string) (string, string) {
	up, ok := only(v, keySet+"W")
	if !ok {
		return "", "must hold only the keys 0-9, *, #, A-D and w"
	}
	return strings.ReplaceAll(up, "W", "w"), ""
}

func checkKeyList(v string) (string, string) {
	v = bare(v)
	for _, part := range strings.Split(v, ",") {
		if _, ok := only(part, keySet); !ok || part == "" {
			return "", "must be keys 0-9, *, #, A-D; several entries are separated by commas"
		}
	}
	return strings.ToUpper(v), ""
}

// bare drops the white space that comma lists may hold.
func bare(v string) string {
	if !strings.ContainsAny(v, " \t\r\n") {
		return v
	}
	return strings.Join(strings.Fields(v), "")
}

func checkVolume(v string) (string, string) {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || !(n <= 0) || math.IsInf(n, 0) || strings.ContainsAny(v, "eExXpP_") {
		return "", "must be a number of decibels, 0 or less"
	}
	return v, ""
}

func checkTones(v string) (string, string) {
	v = bare(v)
	if _, ok := parseTones(v); !ok {
		return "", "must be frequencies such as 480,620x3;440"
	}
	return v, ""
}

func checkDays(v string) (string, string) {
	v = strings.ToLower(bare(v))
	for _, day := range strings.Split(v, ",") {
		if len(day) != 3 || !strings.Contains(dayList, day) || strings.Contains(day, ",") {
			return "", "must be days out of " + dayList
		}
	}
	return v, ""
}

func checkZone(v string) (string, string) {
	if _, err := time.LoadLocation(v); err != nil || v == "" || v == "Local" {
		return "", "must be a time zone such as America/New_York"
	}
	return v, ""
}

func checkMetaName(v string) (string, string) {
	ok := len(v) >= 1 && len(v) <= 64
	for i := 0; ok && i < len(v); i++ {
		c := v[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return "", "must be 1 to 64 letters, digits, dots, underscores or hyphens"
	}
	return v, ""
}
