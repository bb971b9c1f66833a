package espeak

import (
	"errors"
	"testing"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/speech/engine"
	"github.com/opentact/opentact/internal/speech/speechtest"
)

func TestEspeakKeepsTheContract(t *testing.T) {
	speechtest.Exercise(t, New(Options{}))
}

func TestOtherLanguagesAreSpoken(t *testing.T) {
	e := New(Options{})
	for _, c := range []struct{ lang, gender, text, code string }{
		{"de-DE", engine.Female, "Guten Tag, drücken Sie die Eins.", "espeak-de-female"},
		{"de", engine.Male, "Guten Tag.", "espeak-de"},
		{"es-MX", engine.Male, "Buenos días, oprima el uno.", "espeak-es"},
		{"fr-FR", engine.Male, "Bonjour, tapez un.", "espeak-fr-fr"},
		{"pt-BR", engine.Female, "Bom dia.", "espeak-pt-br-female"},
		{"zh-CN", engine.Male, "你好，请按一。", "espeak-cmn"},
		{"no-NO", engine.Male, "God dag.", "espeak-nb"},
		{"ru_ru", engine.Female, "Здравствуйте.", "espeak-ru-female"},
	} {
		samples, v, err := e.Speak(t.Context(), engine.Request{Text: c.text, Lang: c.lang, Gender: c.gender})
		if err != nil || v.Code != c.code || audio.Level(samples) < -40 {
			t.Errorf("%s: voice %s at %.1f dBFS, %v; want %s", c.lang, v.Code, audio.Level(samples), err, c.code)
		}
	}
}

func TestVoiceListIsReadByColumns(t *testing.T) {
	list, ids := parseVoices("Pty Language       Age/Gender VoiceName          File                 Other Languages\n" +
		" 5  de              --/M      German             gmw/de               \n" +
		" 5  yue             --/M      Chinese_(Cantonese) sit/yue              (zh-yue 5)(zh 8)\n" +
		" 5  yue             --/M      Chinese_(Cantonese,_latin_as_Jyutping) sit/yue-Latn-jyutping (zh-yue 5)\n" +
		" 5  fa-latn         --/M      Persian_(Pinglish) ira/fa-Latn          \n broken\n")
	if len(list) != 4 || len(ids) != 4 {
		t.Fatalf("%+v", list)
	}
	if v := list[1]; v.Code != "espeak-de-female" || v.Lang != "de-DE" || v.Gender != engine.Female || ids[v.Code].variant != "+f2" {
		t.Errorf("%+v", v)
	}
	if v := list[2]; v.Name != "eSpeak Chinese (Cantonese)" || v.Lang != "yue" {
		t.Errorf("%+v", v)
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	_, _, err := New(Options{Program: "espeak-that-is-not-here"}).Speak(t.Context(), engine.Request{Text: "one"})
	var missing *engine.MissingError
	if !errors.Is(err, engine.ErrTTS) || !errors.As(err, &missing) || missing.Package != "espeak-ng" {
		t.Fatalf("%v", err)
	}
}
