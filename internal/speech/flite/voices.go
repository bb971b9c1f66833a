package flite

import "github.com/opentact/opentact/internal/speech/engine"

// known are the voices that flite is built with, best first for each gender. Two that "flite -lv" names are left out: awb_time can only tell the
// time, and kal16 is kal at another rate.
var known = []struct {
	id, name, lang, gender string
	rate                   int
}{
	{"slt", "Flite SLT", "en-US", engine.Female, 16000},
	{"rms", "Flite RMS", "en-US", engine.Male, 16000},
	{"kal", "Flite KAL", "en-US", engine.Male, 8000},
	{"awb", "Flite AWB", "en-GB", engine.Male, 16000},
}

// codePrefix makes the codes of this engine different from those of others.
const codePrefix = "flite-"

// voices are the known ones among the installed.
func voices(installed []string) []engine.Voice {
	var list []engine.Voice
	for _, k := range known {
		for _, id := range installed {
			if id == k.id {
				list = append(list, engine.Voice{
					Code: codePrefix + k.id, Name: k.name, Lang: k.lang, Gender: k.gender,
					Type: engine.Standard, Engine: Name, NaturalRate: k.rate,
				})
			}
		}
	}
	return list
}
