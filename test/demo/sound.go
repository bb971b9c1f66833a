package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// What the recording must show at least: the prompts of the document take about six seconds to say.
const (
	leastLength = 4 * time.Second
	leastSound  = 2500 * time.Millisecond
	leastLevel  = -35.0 // dBFS of the part with sound
	blockLength = audio.Rate / 50
)

// heard is what is in a recording.
type heard struct {
	length, sound time.Duration
	level         float64 // dBFS of the blocks with sound
}

func listen(wav []byte) (heard, error) {
	samples, err := audio.DecodeFile(bytes.NewReader(wav), audio.Limits{})
	if err != nil {
		return heard{}, fmt.Errorf("the recording cannot be played: %w", err)
	}
	h := heard{length: audio.Duration(len(samples)).Round(10 * time.Millisecond)}
	var loud []int16
	for at := 0; at+blockLength <= len(samples); at += blockLength {
		if block := samples[at : at+blockLength]; audio.Level(block) > audio.DefaultSilence {
			loud = append(loud, block...)
		}
	}
	h.sound, h.level = audio.Duration(len(loud)), audio.Level(loud)
	return h, nil
}

// judge refuses a recording in which nobody can have spoken the prompts.
func (h heard) judge() error {
	if h.length < leastLength || h.sound < leastSound || h.level < leastLevel {
		return fmt.Errorf("the prompts are not in the recording: %s long, %s of sound at %.0f dBFS; at least %s, %s and %.0f are wanted",
			h.length, h.sound, h.level, leastLength, leastSound, leastLevel)
	}
	return nil
}
