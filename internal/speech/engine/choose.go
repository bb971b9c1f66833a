package engine

import (
	"fmt"
	"strings"
)

// What a request without a wish means.
const (
	DefaultLang   = "en-US"
	DefaultGender = Female
)

// Weights of Choose: language before gender before type.
const (
	exactLang   = 100
	primaryLang = 50
	sameGender  = 10
	sameType    = 5
)

// exactCode is more than any sum of weights.
const exactCode = 1000

// Choose picks the voice for a request. Code decides alone. Otherwise a voice of exactly the language wins over one of its primary
// language, then gender counts (another voice of the language is better than none), then type, then the order of the list. The error is
// ErrUnknownVoice when there is none.
func Choose(list []Voice, r Request) (Voice, error) {
	v, score := Best(list, r)
	if score == 0 {
		return Voice{}, Unknown(r)
	}
	return v, nil
}

// Unknown is the error for a request that no voice fits.
func Unknown(r Request) error {
	if r.Code != "" {
		return fmt.Errorf("%w %q", ErrUnknownVoice, r.Code)
	}
	return fmt.Errorf("%w for language %q", ErrUnknownVoice, r.Lang)
}

// Best is the voice of the list that fits the request best and how well it does, 0 for not at all; of equals the first.
func Best(list []Voice, r Request) (best Voice, score int) {
	if r.Lang == "" {
		r.Lang = DefaultLang
	}
	if r.Gender == "" {
		r.Gender = DefaultGender
	}
	r.Lang = Tag(r.Lang)
	primary, found := Primary(r.Lang), -1
	for i := range list {
		if n := fit(&list[i], &r, primary); n > score {
			score, found = n, i
		}
	}
	if found < 0 {
		return Voice{}, 0
	}
	return list[found], score
}

func fit(v *Voice, r *Request, primary string) int {
	score := 0
	switch {
	case r.Code != "":
		if v.Code == r.Code {
			return exactCode
		}
		return 0
	case v.Lang == r.Lang:
		score = exactLang
	case Primary(v.Lang) == primary:
		score = primaryLang + plain(v.Lang)
	default:
		return 0
	}
	if strings.EqualFold(v.Gender, r.Gender) {
		score += sameGender
	}
	if r.Type != "" && strings.EqualFold(v.Type, r.Type) {
		score += sameType
	}
	return score
}

// plain prefers the language at large ("de") to a variety nobody asked for ("de-AT").
func plain(tag string) int {
	if strings.Contains(tag, "-") {
		return 0
	}
	return 1
}

// sameLanguage maps tags that mean one language to the one used here: macrolanguages and their commonest member (RFC 5646 §4.1.2), Chinese
// by place of speech, and tags withdrawn from the registry.
var sameLanguage = map[string]string{
	"zh": "cmn", "zh-CN": "cmn", "zh-TW": "cmn", "zh-SG": "cmn", "zh-HK": "yue", "zh-MO": "yue", "zh-cmn": "cmn", "zh-yue": "yue",
	"cmn-CN": "cmn", "cmn-TW": "cmn", "yue-HK": "yue", "zh-Hans": "cmn", "zh-Hant": "cmn",
	"no": "nb", "no-NO": "nb", "nb-NO": "nb", "iw": "he", "in": "id", "ji": "yi", "mo": "ro",
}

// Tag writes a BCP 47 tag in its usual case (RFC 5646 §2.1.1) and replaces tags that mean the same language.
func Tag(lang string) string {
	parts := strings.Split(strings.ReplaceAll(strings.TrimSpace(lang), "_", "-"), "-")
	private := false
	for i, p := range parts {
		p = strings.ToLower(p)
		switch {
		case i > 0 && !private && len(p) == 2:
			p = strings.ToUpper(p)
		case i > 0 && !private && len(p) == 4:
			p = strings.ToUpper(p[:1]) + p[1:]
		}
		private = private || len(p) == 1
		parts[i] = p
	}
	tag := strings.Join(parts, "-")
	if same, ok := sameLanguage[tag]; ok {
		return same
	}
	return tag
}

// Primary is the language of a tag without region, script and variants.
func Primary(tag string) string {
	primary, _, _ := strings.Cut(tag, "-")
	if same, ok := sameLanguage[primary]; ok {
		return same
	}
	return primary
}
