package money

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

func TestParseAndString(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "100.00": "100", "0.0075": "0.0075", "-1.1": "-1.1", "41.184700": "41.1847", ".5": "0.5", "1.0000000": "1",
	} {
		a, err := Parse(in)
		if err != nil || a.String() != want {
			t.Errorf("%s: %s %v, want %s", in, a, err, want)
		}
	}
	for _, bad := range []string{"", "-", "1e3", "1.0000001", "1,5", "99999999999999999999", "NaN"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestMulDivRoundsHalfUp(t *testing.T) {
	for _, c := range []struct {
		a        string
		num, den int64
		want     string
	}{{"0.01", 6, 60, "0.001"}, {"0.000001", 1, 2, "0.000001"}, {"0.000001", 1, 3, "0"}, {"-0.000001", 1, 2, "-0.000001"}, {"0.0085", 66, 60, "0.00935"}} {
		got, err := MustParse(c.a).MulDiv(c.num, c.den)
		if err != nil || got.String() != c.want {
			t.Errorf("%s*%d/%d = %s %v, want %s", c.a, c.num, c.den, got, err, c.want)
		}
	}
	if _, err := Amount(1 << 62).Times(4); err == nil {
		t.Error("overflow unnoticed")
	}
	if _, err := Amount(1 << 62).Add(1 << 62); err == nil {
		t.Error("overflow unnoticed")
	}
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Amount(rapid.Int64Range(-1<<60, 1<<60).Draw(t, "micro"))
		b, _ := json.Marshal(a)
		var c Amount
		if err := json.Unmarshal(b, &c); err != nil || c != a {
			t.Fatalf("%s -> %s -> %s %v", a, b, c, err)
		}
	})
}
