package e164

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParseReadsUsualSpellings(t *testing.T) {
	for in, want := range map[string]string{
		"+1 (212) 555-0123":              "12125550123",
		"12125550123":                    "12125550123",
		"2125550123":                     "12125550123",
		" 212.555.0123 ":                 "12125550123",
		"+1\u00a0212\u2009555\u20110123": "12125550123",
		"\u202a+44 20 7946 0000\u202c":   "442079460000",
		"+6562345678":                    "6562345678",
		"+49/30/1234567":                 "49301234567",
		"5551234":                        "5551234",
		"+123456789012345":               "123456789012345",
	} {
		n, err := Parse(in)
		if err != nil || n.Digits() != want {
			t.Errorf("%q = %q %v, want %s", in, n, err, want)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "no digits",
		"+":                      "no digits",
		"123456":                 "6 digits",
		"1234567890123456":       "16 digits",
		"0012125550123":          "starts with 0",
		"12x":                    `unexpected 'x' at position 2`,
		"1+2125550123":           "unexpected '+'",
		"++12125550123":          "unexpected '+'",
		"+1212555012٣":           "unexpected",
		strings.Repeat("-", 200): "more than 128 characters",
	} {
		n, err := Parse(in)
		if !errors.Is(err, ErrInvalid) || n != "" || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "invalid number: ") {
			t.Errorf("%q = %q, %v; want %q", in, n, err, want)
		}
	}
}

func TestStoredIntegerGetsNoLeadingOne(t *testing.T) {
	n, err := FromInt(6562345678)
	if err != nil || n != "6562345678" || n.Int() != 6562345678 || n.Plus() != "+6562345678" {
		t.Errorf("%q %v", n, err)
	}
	for _, bad := range []int64{0, -12125550123, 123456, 1234567890123456} {
		if n, err := FromInt(bad); err == nil {
			t.Errorf("%d accepted as %q", bad, n)
		}
	}
}

func TestJSONIsAnIntegerAndReadsBoth(t *testing.T) {
	var v struct{ A, B, C, D Number }
	if err := json.Unmarshal([]byte(`{"A":12125550123,"B":"+1 212 555 0123","C":2125550123,"D":null}`), &v); err != nil {
		t.Fatal(err)
	}
	if v.A != "12125550123" || v.B != v.A || v.C != v.A || v.D != "" {
		t.Errorf("%+v", v)
	}
	b, err := json.Marshal(v)
	if err != nil || string(b) != `{"A":12125550123,"B":12125550123,"C":12125550123,"D":null}` {
		t.Errorf("%s %v", b, err)
	}
	for _, bad := range []string{`1.5`, `1e10`, `-12125550123`, `true`, `[1]`, `{}`, `""`, `"abc"`} {
		var n Number
		if err := json.Unmarshal([]byte(bad), &n); err == nil {
			t.Errorf("%s read as %q", bad, n)
		}
	}
	if b, err := json.Marshal(Number("12\n")); err == nil {
		t.Errorf("a number that is none was written: %s", b)
	}
}

func TestCountryOfNumber(t *testing.T) {
	for in, want := range map[string]string{
		"12125550123": "US", "14165550123": "CA", "18765550123": "JM", "16585550123": "JM", "17875550123": "PR", "18095550123": "DO",
		"18005550123": "US", "15005550001": "US", "442079460000": "GB", "447797123456": "JE", "441624123456": "IM", "79161234567": "RU",
		"77011234567": "KZ", "35318001234": "IE", "390669812345": "VA", "390612345678": "IT", "882161234567": "", "2101234567": "",
		"11234567890": "", "59995551234": "CW", "5997151234": "BQ", "": "",
	} {
		if got := Number(in).Country(); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestCallingCodeOfCountry(t *testing.T) {
	for in, want := range map[string]string{"US": "1", "CA": "1", "JM": "1", "LV": "371", "GG": "44", "KZ": "7", "VA": "39", "AQ": "", "": "", "xx": ""} {
		if got := CallingCodeOf(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	seen := map[string]string{}
	for code, c := range callingCodes {
		if seen[c] != "" && c != "" {
			t.Errorf("%s has %s and %s", c, seen[c], code)
		}
		seen[c] = code
	}
}

func TestNationalDropsTheCallingCode(t *testing.T) {
	for in, want := range map[string]string{
		"12125550123": "2125550123", "442079460000": "2079460000", "35312345678": "12345678", "2101234567": "2101234567",
	} {
		if got := Number(in).National(); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestSpecialNumbers(t *testing.T) {
	for _, code := range []string{"800", "833", "844", "855", "866", "877", "888"} {
		if n := Number("1" + code + "5550123"); !n.TollFree() || !n.NANP() || n.Premium() {
			t.Errorf("%s is not toll-free", n)
		}
	}
	if Number("12125550123").TollFree() || Number("80012345678").TollFree() {
		t.Error("ordinary number taken for toll-free")
	}
	for in, want := range map[Number]bool{"19005550123": true, "12129760123": true, "12125559760": false, "4490012345": false} {
		if in.Premium() != want {
			t.Errorf("%s premium %v", in, !want)
		}
	}
	for in, want := range map[string]bool{"911": true, "+911": true, "9-1-1": true, "1911": true, "112": true, "933": true, "000": true, "9110": false, "101": false, "12129115555": false, "": false, "abc": false} {
		if Emergency(in) != want {
			t.Errorf("%q emergency %v", in, !want)
		}
	}
}

func TestMaskMatchesRunsAndSingleDigits(t *testing.T) {
	for _, c := range []struct {
		mask, digits string
		want         bool
	}{
		{"*", "", true},
		{"*", "12125550123", true},
		{"", "", true},
		{"", "1", false},
		{"12125550123", "12125550123", true},
		{"+1 (212) 555-0123", "12125550123", true},
		{"1212555012", "12125550123", false},
		{"+1900*", "19005550123", true},
		{"1900*", "12125550123", false},
		{"1212555%%%%", "12125550123", true},
		{"1212555%%%%%", "12125550123", false},
		{"*0123", "12125550123", true},
		{"*5*5*5*3", "12125550123", true},
		{"*4*", "12125550123", false},
		{"**%", "1", true},
		{"**%", "", false},
		{"1*a", "12", false},
		{"*12*123", "12121123", true},
	} {
		if got := MatchMask(c.mask, c.digits); got != c.want {
			t.Errorf("MatchMask(%q, %q) = %v", c.mask, c.digits, got)
		}
	}
}

func TestNumberFilterIsReadAsNumbersAre(t *testing.T) {
	for in, want := range map[string]Mask{
		"+1 (212) 555-0123": "12125550123",
		"2125550123":        "12125550123",
		"+2125550123":       "2125550123",
		"1125550123":        "1125550123",
		" 212-555-%%%%":     "212555%%%%",
		"+1 (900)*":         "1900*",
		"*":                 "*",
		"911":               "911",
		"*0123":             "*0123",
	} {
		if m, err := ParseMask(in); err != nil || m != want {
			t.Errorf("%q = %q %v, want %q", in, m, err, want)
		}
	}
	for _, bad := range []string{"", "+", "( ) -", "12x", "sip:a@b", "1+2", "1_2"} {
		if m, err := ParseMask(bad); !errors.Is(err, ErrInvalid) || m != "" {
			t.Errorf("%q read as %q, %v", bad, m, err)
		}
	}
}

func TestThreadIsTheSameInBothDirections(t *testing.T) {
	// md5("12125550170:13125550144")
	const want = "454f28f4dbb4cd0b8d0c489d16afae34"
	a, b := Thread("+13125550144", "12125550170"), Thread("12125550170", "13125550144")
	if a != b || len(a) != 32 {
		t.Errorf("%s %s", a, b)
	}
	if Thread("OFFERS", "12125550170") == Thread("NEWS", "12125550170") {
		t.Error("two sender names share a thread")
	}
	if a != want {
		t.Errorf("%s, want %s", a, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"+1 (212) 555-0123", "2125550123", "0044", "", "\xff\xfe", "+٣", "1-2-3-4-5-6-7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			if n != "" {
				t.Fatalf("%q: error and number %q", s, n)
			}
			return
		}
		again, err := Parse(n.Plus())
		if err != nil || again != n || n.Int() == 0 {
			t.Fatalf("%q -> %q -> %q %v", s, n, again, err)
		}
		if !MatchMask(n.Digits(), n.Digits()) || !MatchMask("*", n.Digits()) {
			t.Fatalf("%q does not match itself", n)
		}
		n.Country()
	})
}

func FuzzMatchMask(f *testing.F) {
	f.Add("1*%2", "1992")
	f.Fuzz(func(t *testing.T, mask, digits string) {
		if MatchMask(mask, digits) && !MatchMask(mask+"*", digits) {
			t.Fatalf("%q matches %q, but not with a run behind it", mask, digits)
		}
	})
}
