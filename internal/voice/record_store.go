package voice

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
)

var recordColumns = strings.Fields(`uuid account call tag format channels asr lang created_on
  state duration size sha256 blob_key reason transcript_state transcript transcript_facts available_on expired_on modified_on`)

const recordFixed = 9 // the first columns never change

// A record that was deleted stays so.
var recordInserts = insertsOf("call_record", recordColumns, upsert(recordColumns, recordFixed)+" WHERE call_record.state <> 'deleted'")

func (r *Record) values(args []any) []any {
	return append(args, r.ID, r.Account, r.Call, db.Text(r.Tag), r.Format, r.Channels, r.ASR, db.Text(r.Lang), db.At(r.Created),
		r.State, r.Duration.Milliseconds(), sql.NullInt64{Int64: r.Size, Valid: r.Size > 0}, db.Text(r.SHA256), db.Text(r.Key), db.Text(r.Reason), r.TranscriptState, db.Text(r.Text), jsonOr(r.Transcript, r.Transcript != nil),
		db.At(r.AvailableOn), db.At(r.ExpiredOn), db.At(r.Modified))
}

// saveRecords writes records, each at most once. A record that was deleted stays so.
func saveRecords(ctx context.Context, tx *db.Tx, records []*Record) error {
	err := recordInserts.insertAll(ctx, tx, len(records), func(args []any, i int) []any { return records[i].values(args) })
	if err != nil {
		return fmt.Errorf("save records: %w", err)
	}
	return nil
}

func scanRecord(scan func(...any) error) (Record, error) {
	var r Record
	var tag, lang, sum, key, reason, text db.Text
	var size sql.NullInt64
	var duration int64
	var facts db.JSON[*Transcript]
	var created, available, expired, modified db.Time
	err := scan(&r.ID, &r.Account, &r.Call, &tag, &r.Format, &r.Channels, &r.ASR, &lang, &created,
		&r.State, &duration, &size, &sum, &key, &reason, &r.TranscriptState, &text, &facts, &available, &expired, &modified)
	r.Tag, r.Lang, r.SHA256, r.Key, r.Reason, r.Text = string(tag), string(lang), string(sum), string(key), string(reason), string(text)
	r.Transcript = facts.V
	r.Size, r.Duration = size.Int64, time.Duration(duration)*time.Millisecond
	r.Created, r.AvailableOn, r.ExpiredOn, r.Modified = created.Time, available.Time, expired.Time, modified.Time
	return r, err
}

func recordsWhere(ctx context.Context, q db.Querier, tail string, args ...any) ([]Record, error) {
	rows, err := q.Query(ctx, "SELECT "+strings.Join(recordColumns, ", ")+" FROM call_record "+tail, args...)
	if err != nil {
		return nil, fmt.Errorf("records: %w", err)
	}
	return collect(rows, scanRecord)
}

// recordsOf lists the records of a call, oldest first.
func recordsOf(ctx context.Context, q db.Querier, call string) ([]Record, error) {
	return recordsWhere(ctx, q, "WHERE call = $1 ORDER BY created_on, uuid", call)
}

// recordOf reads a record of an account; an empty account reads any. A 404 "Record not found".
func recordOf(ctx context.Context, q db.Querier, account, id string) (Record, error) {
	r, err := scanRecord(q.QueryRow(ctx, "SELECT "+strings.Join(recordColumns, ", ")+" FROM call_record WHERE uuid = $1 AND ($2 = '' OR account = $2)", id, account).Scan)
	return r, missing("Record", err)
}

// expiredRecords are those whose time is over and whose sound is still kept.
func expiredRecords(ctx context.Context, q db.Querier, now time.Time, limit int) ([]Record, error) {
	return recordsWhere(ctx, q, fmt.Sprintf("WHERE expired_on < $1 AND state <> 'deleted' ORDER BY expired_on LIMIT %d", limit), db.At(now))
}
