package rtp

import (
	"testing"
	"time"
)

// press is one event packet; after is the time since the packet before.
type press struct {
	event uint8
	ts    uint32
	units uint16
	ended bool
	after time.Duration
}

func TestOnePressIsOneKey(t *testing.T) {
	const ms = time.Millisecond
	one := func(event uint8, ts uint32) []press {
		return []press{
			{event, ts, 160, false, 20 * ms},
			{event, ts, 320, false, 20 * ms},
			{event, ts, 480, false, 20 * ms},
			{event, ts, 640, true, 20 * ms},
			{event, ts, 640, true, 0},
			{event, ts, 640, true, 0},
		}
	}
	join := func(lists ...[]press) (all []press) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	cases := map[string]struct {
		in   []press
		want string
	}{
		"whole":                      {one(5, 1000), "5"},
		"start lost":                 {one(5, 1000)[2:], "5"},
		"only an end":                {one(11, 1000)[5:], "#"},
		"end lost, other key":        {join(one(1, 1000)[:3], one(2, 3000)), "12"},
		"end lost, same key":         {join(one(1, 1000)[:3], one(1, 3000)), "11"},
		"same key twice":             {join(one(7, 1000), one(7, 2000)), "77"},
		"same key, short gap":        {join(one(7, 1000), one(7, 1000+640+1)), "77"},
		"timestamps wrap":            {join(one(1, 0xfffffff0), one(2, 800)), "12"},
		"late packet of the last":    {join(one(1, 1000), one(2, 3000)[:2], one(1, 1000)[5:], one(2, 3000)[2:]), "12"},
		"repeated ends after others": {join(one(1, 1000), one(1, 1000)[3:]), "1"},
		"no end and no repeats":      {join(one(1, 1000)[:1], one(1, 3000)[:1], one(1, 5000)[:1]), "111"},
		"moving timestamps": {[]press{
			{3, 1000, 160, false, 20 * ms},
			{3, 1160, 320, false, 20 * ms},
			{3, 1320, 480, false, 20 * ms},
			{3, 1480, 640, true, 20 * ms},
			{3, 1640, 640, true, 0},
			{3, 1800, 640, true, 0},
		}, "3"},
		"segments of a long event": {[]press{
			{9, 1000, 0xfff0, false, 20 * ms},
			{9, 1000, 0xffff, false, 20 * ms},
			{9, 1000 + 0xffff, 160, false, 20 * ms},
			{9, 1000 + 0xffff, 320, true, 20 * ms},
		}, "9"},
		"sender starts anew":     {join(one(4, 900000), []press{{5, 100, 160, false, 3 * time.Second}}), "45"},
		"timestamp never moves":  {join(one(4, 0), []press{{4, 0, 160, false, time.Second}, {4, 0, 320, true, 20 * ms}}), "44"},
		"letters":                {join(one(10, 0), one(12, 2000), one(15, 4000)), "*AD"},
		"flash is no key":        {one(16, 1000), ""},
		"zero duration at first": {append([]press{{6, 1000, 0, false, 0}}, one(6, 1000)...), "6"},
	}
	for name, c := range cases {
		var k keysIn
		var got []byte
		now := time.Second
		for _, p := range c.in {
			now += p.after
			payload := []byte{p.event, keyVolume, byte(p.units >> 8), byte(p.units)}
			if p.ended {
				payload[1] |= 0x80
			}
			if key, _, pressed := k.receive(p.ts, payload, now); pressed {
				got = append(got, key)
			}
		}
		if string(got) != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestShortEventPayloadIsNoKey(t *testing.T) {
	var k keysIn
	if _, _, pressed := k.receive(1, []byte{5, 10, 0}, 0); pressed {
		t.Error("three bytes were taken")
	}
}
