package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/speech"
)

var (
	// spoken are phrases of the document, in the order in which the call says them.
	spoken = []string{"please press four and two", "you have pressed forty two"}
	// fillers are of the rest of what is said there. "Thank you" is not among them: the recogniser hears the nearest phrase in every sound, and short ones are near to many.
	fillers = []string{"hello this is", "one moment", "goodbye"}
	// decoys sound alike; the recogniser would hear one of them if the text were another.
	decoys = []string{"please press nine and one", "you have pressed sixty eight", "nothing was pressed", "the number is not in service"}
)

// transcript is what the recogniser hears in a recording when it listens for all of these phrases.
func transcript(t *testing.T, wav []byte) string {
	t.Helper()
	samples, err := audio.DecodeFile(bytes.NewReader(wav), audio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	engines, err := speech.New(speech.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer engines.Close()
	phrases := append(append(append([]string{}, spoken...), fillers...), decoys...)
	heard, err := engines.Recognize(t.Context(), samples, speech.RecognizeOptions{Phrases: phrases})
	if err != nil {
		t.Fatal(err)
	}
	return heard.Text
}

// wantSpoken wants the phrases of the document in the recording, in order, and none of the decoys.
func wantSpoken(t *testing.T, wav []byte) {
	t.Helper()
	text := transcript(t, wav)
	rest := text
	for _, phrase := range spoken {
		_, after, found := strings.Cut(rest, phrase)
		if !found {
			t.Errorf("%q is not heard in the recording, but %q", phrase, text)
		}
		rest = after
	}
	for _, phrase := range decoys {
		if strings.Contains(text, phrase) {
			t.Errorf("%q is heard in the recording: %q", phrase, text)
		}
	}
}

// TestOtherTextIsNotTakenForThePrompts shows that the recogniser tells the prompts from what resembles them.
func TestOtherTextIsNotTakenForThePrompts(t *testing.T) {
	engines, err := speech.New(speech.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer engines.Close()
	samples, _, err := engines.Speak(t.Context(), speech.Request{Text: "Please press nine and one. Thank you. You have pressed sixty eight. Goodbye."})
	if err != nil {
		t.Fatal(err)
	}
	var wav bytes.Buffer
	if err := audio.EncodeWAV(&wav, samples); err != nil {
		t.Fatal(err)
	}
	text := transcript(t, wav.Bytes())
	for _, phrase := range spoken {
		if strings.Contains(text, phrase) {
			t.Errorf("%q is heard in another text: %q", phrase, text)
		}
	}
}
