package flow

import (
	"context"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones must be there on hosts without their own
)

var scheduleSpec = spec{
	name: "Schedule", is: isCommand, holds: isCommand | isError, filter: true,
	attrs: []attr{
		{name: "dow", kind: days},
		{name: "time", kind: hours},
		{name: "date", kind: dates},
		{name: "tz", kind: zone},
	},
	run: runSchedule,
}

func runSchedule(_ context.Context, m *Machine, c *command) (string, error) {
	name := c.str("tz")
	if name == "" {
		name = m.cfg.Phone.Info().TimeZone
	}
	place, err := time.LoadLocation(name)
	if err != nil {
		c.warn("unknown time zone %s; UTC is used", name)
		place = time.UTC
	}
	ranges, _, _ := parseHours(c.str("time"))
	spans, _, _ := parseDates(c.str("date"))
	s := schedule{days: c.str("dow"), hours: ranges, dates: spans}
	return c.filtered(s.holds(m.cfg.Now().In(place)))
}

// schedule is when a filter matches; an empty member is no condition.
type schedule struct {
	days  string
	hours []hourRange
	dates []dateSpan
}

// hourRange is seconds since midnight, the end excluded; an end before the start is on the next day.
type hourRange struct{ from, to int }

// dateSpan is dates as written, both included; such dates order like their texts.
type dateSpan struct{ from, to string }

func (s schedule) holds(now time.Time) bool {
	if len(s.hours) == 0 {
		return s.onDay(now)
	}
	second := now.Hour()*3600 + now.Minute()*60 + now.Second()
	for _, r := range s.hours {
		if r.from <= r.to {
			if second >= r.from && second < r.to && s.onDay(now) {
				return true
			}
			continue
		}
		if second >= r.from && s.onDay(now) {
			return true
		}
		if second < r.to && s.onDay(now.AddDate(0, 0, -1)) {
			return true
		}
	}
	return false
}

func (s schedule) onDay(day time.Time) bool {
	if s.days != "" && !strings.Contains(s.days, strings.ToLower(day.Weekday().String()[:3])) {
		return false
	}
	if len(s.dates) == 0 {
		return true
	}
	date := day.Format(time.DateOnly)
	for _, span := range s.dates {
		if span.from <= date && date <= span.to {
			return true
		}
	}
	return false
}

const (
	wrongHours = "must be HH:MM:SS-HH:MM:SS; several ranges are separated by commas"
	wrongDates = "must be YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD; several are separated by commas"
)

func parseHours(list string) (ranges []hourRange, canonical, wrong string) {
	list = bare(list)
	if list == "" {
		return nil, "", wrongHours
	}
	for _, part := range strings.Split(list, ",") {
		from, to, _ := strings.Cut(part, "-")
		a, okA := clock(from)
		b, okB := clock(to)
		if !okA || !okB || a >= 24*3600 {
			return nil, "", wrongHours
		}
		ranges = append(ranges, hourRange{a, b})
	}
	return ranges, list, ""
}

// clock reads HH:MM:SS up to 24:00:00 as seconds.
func clock(s string) (int, bool) {
	if len(s) != 8 || s[2] != ':' || s[5] != ':' {
		return 0, false
	}
	var part [3]int
	for i := range part {
		n, ok := digits(s[3*i : 3*i+2])
		if !ok || i > 0 && n > 59 {
			return 0, false
		}
		part[i] = n
	}
	total := part[0]*3600 + part[1]*60 + part[2]
	return total, total <= 24*3600
}

func parseDates(list string) (spans []dateSpan, canonical, wrong string) {
	list = bare(list)
	if list == "" {
		return nil, "", wrongDates
	}
	for _, part := range strings.Split(list, ",") {
		from, to, ranged := strings.Cut(part, "..")
		if !ranged {
			to = from
		}
		if !isDate(from) || !isDate(to) || to < from {
			return nil, "", wrongDates
		}
		spans = append(spans, dateSpan{from, to})
	}
	return spans, list, ""
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	if err != nil || len(s) != 10 {
		return false
	}
	year, err := strconv.Atoi(s[:4])
	return err == nil && year > 0
}
