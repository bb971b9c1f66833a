package db

import (
	"reflect"
	"testing"
)

func TestDigitsWithoutMaskUseTheColumnItself(t *testing.T) {
	for mask, want := range map[string]struct {
		text string
		args []any
	}{
		"12125550123":          {" WHERE (tn = $1)", []any{int64(12125550123)}},
		"1212*":                {" WHERE (CAST(tn AS TEXT) LIKE $1 ESCAPE '!')", []any{"1212%"}},
		"99999999999999999999": {" WHERE (1 = 0)", nil},
	} {
		var w Where
		w.Digits("tn", mask)
		if text, args := w.SQL(); text != want.text || len(args)+len(want.args) > 0 && !reflect.DeepEqual(args, want.args) {
			t.Errorf("%s: %q %v", mask, text, args)
		}
	}
}
