package account

import (
	"encoding/json"
	"testing"
	"time"
)

func TestTablesTellOfZonesAndCountries(t *testing.T) {
	zones, countries := readZones(zoneTab), readCountries(countryTab)
	if len(zones) < 400 || len(countries) != 249 {
		t.Errorf("%d zones, %d countries", len(zones), len(countries))
	}
	if z := zones["Europe/Riga"]; z != (zone{country: "LV", latitude: "56.95000", longitude: "24.10000"}) {
		t.Errorf("%+v", z)
	}
	if z := zones["America/New_York"]; z != (zone{country: "US", latitude: "40.71417", longitude: "-74.00639", note: "Eastern (most areas)"}) {
		t.Errorf("%+v", z)
	}
	if c := countries["LV"]; c != (country{a3: "LVA", name: "LATVIA", n: 428, code: 371}) {
		t.Errorf("%+v", c)
	}
	for name, z := range zones {
		if _, known := countries[z.country]; !known || z.latitude == "" || z.longitude == "" {
			t.Errorf("%s: %+v", name, z)
		}
	}
	for code, c := range countries {
		if len(c.a3) != 3 || c.n == 0 || c.name == "" {
			t.Errorf("%s: %+v", code, c)
		}
	}
	if got := readZones("XX\nXX\t+1\tBad/Place\nXX\t+99\tBad/Other\tnote\n"); len(got) != 2 || got["Bad/Place"].latitude != "" {
		t.Errorf("%+v", got)
	}
}

func TestZoneAndCountryAreShownWhole(t *testing.T) {
	s := &Service{zones: readZones(zoneTab), countries: readCountries(countryTab), now: time.Now}
	for want, view := range map[string]json.RawMessage{
		`{"name":"Europe/Riga","country_code":"LV","utc_offset":2,"utc_dst_offset":3,"latitude":"56.95000","longitude":"24.10000","note":null,` +
			`"created_on":"2025-03-22T00:00:00.000Z","modified_on":"2025-03-22T00:00:00.000Z"}`: s.zoneView("Europe/Riga"),
		`{"a2":"LV","a3":"LVA","name":"LATVIA","n":428,"country_code":371,"national_code":null,` +
			`"created_on":"2025-03-22T00:00:00.000Z","modified_on":"2025-03-22T00:00:00.000Z"}`: s.CountryView("LV"),
	} {
		if string(view) != want {
			t.Errorf("%s, want %s", view, want)
		}
	}
}
