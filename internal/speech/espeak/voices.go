package espeak

import (
	"slices"
	"strings"

	"github.com/opentact/opentact/internal/speech/engine"
)

const (
	codePrefix    = "espeak-"
	femaleSuffix  = "-female"
	femaleVariant = "+f2"
	naturalRate   = 22050
	// columns of "espeak-ng --voices": priority, language, age/gender, name, file, other languages
	langColumn, nameColumn, fileColumn = 1, 3, 4
)

// fileSuffixes mark voices that read another spelling of a language (pinyin, jyutping, Latin letters) and would speak plain text wrongly.
var fileSuffixes = []string{"-latn-pinyin", "-latn-jyutping", "-latn"}

// regions are those that the program leaves out of a language's main voice.
var regions = map[string]string{
	"af": "af-ZA", "ar": "ar-XA", "bg": "bg-BG", "bn": "bn-IN", "ca": "ca-ES", "cs": "cs-CZ", "da": "da-DK", "de": "de-DE", "el": "el-GR", "es": "es-ES",
	"et": "et-EE", "fi": "fi-FI", "gu": "gu-IN", "he": "he-IL", "hi": "hi-IN", "hr": "hr-HR", "hu": "hu-HU", "id": "id-ID", "is": "is-IS", "it": "it-IT",
	"ja": "ja-JP", "kn": "kn-IN", "ko": "ko-KR", "lt": "lt-LT", "lv": "lv-LV", "ml": "ml-IN", "mr": "mr-IN", "ms": "ms-MY", "nl": "nl-NL", "pa": "pa-IN",
	"pl": "pl-PL", "pt": "pt-PT", "ro": "ro-RO", "ru": "ru-RU", "sk": "sk-SK", "sl": "sl-SI", "sr": "sr-RS", "sv": "sv-SE", "sw": "sw-KE", "ta": "ta-IN",
	"te": "te-IN", "th": "th-TH", "tr": "tr-TR", "uk": "uk-UA", "ur": "ur-PK", "vi": "vi-VN",
}

// installed is a voice as the program names it.
type installed struct {
	id      string // for -v
	variant string
}

// parseVoices reads the list of the program. The two come in the same order.
func parseVoices(out string) (list []engine.Voice, ids map[string]installed) {
	ids = map[string]installed{}
	for line := range strings.Lines(out) {
		columns := strings.Fields(line)
		if len(columns) <= fileColumn || columns[0] == "Pty" || otherSpelling(columns[fileColumn]) {
			continue
		}
		id := columns[langColumn]
		if _, ok := ids[codePrefix+id]; ok {
			continue
		}
		lang := engine.Tag(id)
		if full, ok := regions[lang]; ok {
			lang = full
		}
		name := strings.TrimSpace(strings.ReplaceAll(columns[nameColumn], "_", " "))
		voice := engine.Voice{
			Code: codePrefix + id, Name: "eSpeak " + name, Lang: lang, Gender: engine.Male,
			Type: engine.Standard, Engine: Name, NaturalRate: naturalRate,
		}
		ids[voice.Code] = installed{id: id}
		list = append(list, voice)
		voice.Code, voice.Gender = voice.Code+femaleSuffix, engine.Female
		ids[voice.Code] = installed{id: id, variant: femaleVariant}
		list = append(list, voice)
	}
	return list, ids
}

func otherSpelling(file string) bool {
	file = strings.ToLower(file)
	return slices.ContainsFunc(fileSuffixes, func(suffix string) bool { return strings.HasSuffix(file, suffix) })
}
