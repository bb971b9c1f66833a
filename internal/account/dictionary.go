package account

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/e164"
)

// zoneTab are the zones of each country, from edition 2025b of the IANA time zone database.
//
//go:embed zone.tab
var zoneTab string

// tablesOn is the day of that edition; it stands for the age of all that this file tells.
func tablesOn() time.Time { return time.Date(2025, 3, 22, 0, 0, 0, 0, time.UTC) }

// zone is what the table knows of a time zone.
type zone struct {
	country             string // ISO 3166-1 alpha-2
	latitude, longitude string // of its main place, degrees
	note                string
}

// readZones reads a zone.tab: country, coordinates (ISO 6709), name, note. Lines that are none are left out.
func readZones(tab string) map[string]zone {
	out := map[string]zone{}
	for line := range strings.Lines(tab) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") || len(part) < 3 {
			continue
		}
		z := zone{country: part[0]}
		if i := strings.LastIndexAny(part[1], "+-"); i > 0 {
			z.latitude, z.longitude = degrees(part[1][:i], 2), degrees(part[1][i:], 3)
		}
		if len(part) > 3 {
			z.note = part[3]
		}
		out[part[2]] = z
	}
	return out
}

// degrees turns ±DDMM or ±DDMMSS, with as many digits of whole degrees as told, into a decimal fraction; empty when it is none.
func degrees(s string, whole int) string {
	digits := s[1:]
	if len(digits) < whole+2 {
		return ""
	}
	d, err := strconv.Atoi(digits[:whole])
	if err != nil {
		return ""
	}
	var parts [2]int // minutes, seconds
	for i := range parts {
		if at := whole + 2*i; at+2 <= len(digits) {
			if parts[i], err = strconv.Atoi(digits[at : at+2]); err != nil {
				return ""
			}
		}
	}
	text := fmt.Sprintf("%.5f", float64(d)+float64(parts[0])/60+float64(parts[1])/3600)
	if s[0] == '-' {
		return "-" + text
	}
	return text
}

// countryTab are the assigned codes of ISO 3166-1.
//
//go:embed country.tab
var countryTab string

// country is what the standards tell of a country: ISO 3166-1, and ITU-T E.164 for its calling code.
type country struct {
	a3   string
	name string // English, upper-case
	n    int    // numeric code
	code int    // calling code, 0 when there is none
}

// readCountries reads a country.tab by its alpha-2 codes.
func readCountries(tab string) map[string]country {
	out := map[string]country{}
	for line := range strings.Lines(tab) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") || len(part) != 4 {
			continue
		}
		c := country{a3: part[1], name: part[3]}
		c.n, _ = strconv.Atoi(part[2])                        // 0 is shown as null
		c.code, _ = strconv.Atoi(e164.CallingCodeOf(part[0])) // so is that
		out[part[0]] = c
	}
	return out
}
