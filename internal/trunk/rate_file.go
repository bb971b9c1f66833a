package trunk

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

// rateColumns are the columns of a rate file, in the order of files without a header.
var rateColumns = []string{"prefix", "country", "rate", "setup", "min_time", "interval", "grace", "effective_on"}

var ratePrefix = regexp.MustCompile(`^[0-9]{1,15}$`)

// maxRateFaults is the most bad lines that an answer names.
const maxRateFaults = 100

// RateFault says why a line of a rate file was not taken.
type RateFault struct {
	Line    int
	Message string
}

// RateReport says what became of a rate file.
type RateReport struct {
	Accepted, Failed int
	Faults           []RateFault // the first ones
}

// UploadRates adds the lines of a CSV file to a rate table. Bad lines are named and left out; the good ones are kept all together.
func (s *Service) UploadRates(ctx context.Context, table int, file []byte) (RateReport, error) {
	list, rep, err := parseRates(table, file, s.now())
	if err != nil || len(list) == 0 {
		return rep, err
	}
	return rep, s.SaveRates(ctx, list)
}

// parseRates reads a rate file (RFC 4180). A first line that begins with "prefix" names the columns. A later line for the same prefix and time wins.
func parseRates(table int, file []byte, now time.Time) ([]Rate, RateReport, error) {
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(file, []byte("\xef\xbb\xbf"))))
	in.FieldsPerRecord, in.TrimLeadingSpace, in.ReuseRecord = -1, true, true
	rep := RateReport{Faults: []RateFault{}}
	columns, at, list := rateColumns, map[string]int{}, []Rate{}
	for first := true; ; first = false {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return list, rep, nil
		}
		line := 0
		var r Rate
		if err == nil {
			line, _ = in.FieldPos(0)
			if first && strings.EqualFold(strings.TrimSpace(record[0]), "prefix") {
				columns = header(record)
				continue
			}
			r, err = rateOfLine(columns, record, now)
		} else if p := (*csv.ParseError)(nil); errors.As(err, &p) {
			line, err = p.Line, p.Err
		}
		if err != nil {
			rep.Failed++
			if len(rep.Faults) < maxRateFaults {
				rep.Faults = append(rep.Faults, RateFault{line, err.Error()})
			}
			continue
		}
		if rep.Accepted++; rep.Accepted > maxRates {
			return nil, rep, fault.Invalid("file", fmt.Sprintf("must have at most %d lines", maxRates), nil)
		}
		r.Table = table
		key := r.Prefix + " " + strconv.FormatInt(r.Effective.UnixMicro(), 10)
		if i, again := at[key]; again {
			list[i] = r
			continue
		}
		at[key] = len(list)
		list = append(list, r)
	}
}

func header(record []string) []string {
	out := make([]string, len(record))
	for i, name := range record {
		out[i] = strings.ToLower(strings.TrimSpace(name))
	}
	return out
}

// rateOfLine reads one line; only prefix and rate are needed.
func rateOfLine(columns, record []string, now time.Time) (r Rate, err error) {
	cell := func(name string) string {
		if i := slices.Index(columns, name); i >= 0 && i < len(record) {
			return strings.TrimSpace(record[i])
		}
		return ""
	}
	r = Rate{Prefix: strings.TrimPrefix(cell("prefix"), "+"), Country: strings.ToUpper(cell("country")), Effective: now}
	if !ratePrefix.MatchString(r.Prefix) {
		return r, fmt.Errorf("prefix must be 1 to 15 digits")
	}
	if len(r.Country) > 0 && (len(r.Country) != 2 || strings.Trim(r.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		return r, fmt.Errorf("country must be two letters")
	}
	if r.PerMin, err = price(cell("rate")); err != nil {
		return r, fmt.Errorf("rate: %w", err)
	}
	if cell("setup") != "" {
		if r.Setup, err = price(cell("setup")); err != nil {
			return r, fmt.Errorf("setup: %w", err)
		}
	}
	r.MinTime, r.Interval = usualSteps(r.Country)
	for _, c := range []struct {
		name  string
		into  *int
		least int
	}{{"min_time", &r.MinTime, 0}, {"interval", &r.Interval, 1}, {"grace", &r.Grace, 0}} {
		if err := seconds(cell(c.name), c.into, c.least); err != nil {
			return r, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if v := cell("effective_on"); v != "" {
		if r.Effective, err = moment(v); err != nil {
			return r, fmt.Errorf("effective_on: %w", err)
		}
	}
	return r, nil
}

func price(s string) (money.Amount, error) {
	a, err := money.Parse(s)
	if err == nil && a < 0 {
		return 0, fmt.Errorf("must not be negative")
	}
	return a, err
}

// seconds reads a number of seconds, at most a day; an empty cell keeps what is there.
func seconds(s string, into *int, least int) error {
	if s == "" {
		return nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > secondsOfDay {
		return fmt.Errorf("must be %d to %d seconds", least, secondsOfDay)
	}
	*into = n
	return nil
}

func moment(s string) (time.Time, error) {
	for _, form := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil && t.Year() >= 1970 && t.Year() <= 9999 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("must be a date")
}
