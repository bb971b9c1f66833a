package audio

import "testing"

func TestHoldMusicGoesOnWithoutClicksAndPressesNoKey(t *testing.T) {
	music, keys := HoldMusic(), NewDTMFDetector()
	frame := make([]int16, Rate/50)
	last, loudest := int16(0), 0
	for range 50 * 20 {
		if n, err := music.ReadFrame(frame); n != len(frame) || err != nil {
			t.Fatal(n, err)
		}
		if pressed := keys.Feed(frame); len(pressed) > 0 {
			t.Fatalf("keys %q", pressed)
		}
		for _, s := range frame {
			loudest = max(loudest, int(s), -int(s))
			// A sine of 880 Hz moves by at most 2*pi*880/8000 of its peak from one sample to the next.
			if jump := int(s) - int(last); max(jump, -jump) > 1300 {
				t.Fatalf("a step of %d", jump)
			}
			last = s
		}
	}
	if loudest < 1500 || loudest > 2000 {
		t.Errorf("peak %d", loudest)
	}
}
