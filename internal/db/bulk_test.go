package db_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

var (
	bulkInsert = db.NewBulk("INSERT INTO setting (name, value, modified_on) {values} ON CONFLICT (name) DO NOTHING", 0, "TEXT", "TEXT", "BIGINT")
	bulkUpdate = db.NewBulk("UPDATE setting SET value = $1, modified_on = v.column2 FROM {rows} AS v WHERE setting.name = v.column1 RETURNING setting.name", 1, "TEXT", "BIGINT")
	bulkDelete = db.NewBulk("DELETE FROM setting WHERE value = $1 AND name {in}", 1, "TEXT")
)

// TestBulkStatementsTouchEachRowOnce whatever the number of rows.
func TestBulkStatementsTouchEachRowOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for _, n := range []int{0, 1, 3, 127, 128, 129, 300} {
			var insert, update, remove []any
			for i := range n {
				name := fmt.Sprintf("bulk %d %03d", n, i)
				insert = append(insert, name, db.Text("old"), db.At(time.UnixMicro(1)))
				if i%2 == 0 {
					update = append(update, name, int64(i))
				}
				remove = append(remove, name)
			}
			var names []string
			var inserted, again, removed int64
			err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
				names = nil
				if inserted, err = bulkInsert.Exec(ctx, tx, nil, insert); err != nil {
					return err
				}
				if again, err = bulkInsert.Exec(ctx, tx, nil, insert); err != nil {
					return err
				}
				err = bulkUpdate.Query(ctx, tx, []any{"new"}, update, func(scan func(...any) error) error {
					var name string
					err := scan(&name)
					names = append(names, name)
					return err
				})
				if err != nil {
					return err
				}
				removed, err = bulkDelete.Exec(ctx, tx, []any{"old"}, remove)
				return err
			})
			if err != nil {
				t.Fatal(n, err)
			}
			slices.Sort(names)
			if inserted != int64(n) || again != 0 || len(slices.Compact(names)) != (n+1)/2 || removed != int64(n/2) {
				t.Errorf("%d: %d inserted, %d again, %d updated, %d removed", n, inserted, again, len(names), removed)
			}
		}
	})
}

func TestBulkStatementsRefuseWhatIsNoRow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		bad := [][]any{{"name", "value"}, {1.5, "value", int64(1)}}
		if d.Engine() == db.SQLite {
			bad = bad[:1] // the other one is the column's affair
		}
		for _, args := range bad {
			err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				_, err := bulkInsert.Exec(ctx, tx, nil, args)
				return err
			})
			if err == nil {
				t.Errorf("%v is accepted", args)
			}
		}
	})
}
