package db_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

func TestMasksDisregardTheCaseOfEveryScript(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			for i, text := range []string{"ÉCOLE Żółw", "Привет", "Plain 12%", "ΟΔΟΣ", "12125550123"} {
				if err := put(ctx, tx, fmt.Sprint(i), text); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for mask, want := range map[string]string{
			"école żółw": "ÉCOLE Żółw", "ÉCOLE*": "ÉCOLE Żółw", "é%ole *": "ÉCOLE Żółw", "*ŻÓŁ%": "ÉCOLE Żółw", "привЕТ": "Привет", "ПР%%%%": "Привет",
			"PLAIN*": "Plain 12%", "ΟΔΟΣ": "ΟΔΟΣ", "οδ*": "ΟΔΟΣ", "12125550123": "12125550123", "1212*": "12125550123",
		} {
			var w db.Where
			w.Mask("value", mask)
			where, args := w.SQL()
			var got string
			if err := d.Read().QueryRow(t.Context(), "SELECT value FROM setting"+where, args...).Scan(&got); err != nil || got != want {
				t.Errorf("%q finds %q, %v", mask, got, err)
			}
		}
	})
}
