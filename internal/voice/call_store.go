package voice

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// legColumns are written again by each change of a leg, but those of legFixed.
var legColumns = strings.Fields(`uuid account node parent kind direction party_from party_to tn lease app profile thread country created_on
  state duration init_on ring_on answer_on bridge_on hangup_on destroy_on finished_on bridged_to q850 stack reason hangup_by machine charge rate billed price
  sip_call_id remote_ip codec quality meta modified_on`)

const legFixed = 15 // the first columns never change

// inserts are the texts of one INSERT for 1, 2, 4 … rows: few texts, so that their statements stay prepared, and parameters below
// SQLite's and PostgreSQL's limits.
type inserts [7]string

// insertsOf writes the texts; tail follows the values.
func insertsOf(table string, columns []string, tail string) (out inserts) {
	for i := range out {
		out[i] = "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES " + db.Values(1<<i, len(columns)) + tail
	}
	return out
}

// upsert is the tail that writes all but the first columns again.
func upsert(columns []string, fixed int) string {
	set := make([]string, 0, len(columns)-fixed)
	for _, c := range columns[fixed:] {
		set = append(set, c+" = excluded."+c)
	}
	return " ON CONFLICT (uuid) DO UPDATE SET " + strings.Join(set, ", ")
}

// insertAll runs the statements that n rows need, the largest first; add appends the values of one row.
func (texts *inserts) insertAll(ctx context.Context, tx *db.Tx, n int, add func(args []any, row int) []any) error {
	var args []any
	for row := 0; row < n; {
		size := min(bits.Len(uint(n-row)), len(texts)) - 1
		args = args[:0]
		for range 1 << size {
			args = add(args, row)
			row++
		}
		if _, err := tx.Exec(ctx, texts[size], args...); err != nil {
			return err
		}
	}
	return nil
}

var (
	legInserts = insertsOf("call_leg", legColumns, upsert(legColumns, legFixed))
	logInserts = insertsOf("call_log", strings.Split(logColumns, ", "), "")
)

// values are what a row holds, as the drivers take them without asking further.
func (c *Call) values(args []any) []any {
	return append(args, c.ID, c.Account, c.Node, orNil(c.Parent), c.Kind, c.Direction, c.From, c.To, numberOr(c.TN.Int(), c.TN != ""), orNil(c.Lease), orNil(c.App), orNil(c.Profile),
		orNil(c.Thread), orNil(c.Country), micros(c.Created),
		string(c.State), int64(c.length(c.Modified).Seconds()+0.5), micros(c.InitOn), micros(c.RingOn), micros(c.AnswerOn), micros(c.BridgeOn), micros(c.HangupOn), micros(c.DestroyOn),
		micros(c.FinishedOn), orNil(c.BridgedTo), numberOr(int64(c.Q850), c.over()), orNil(c.Stack), orNil(c.Reason), orNil(c.HangupBy), orNil(c.Machine), orNil(c.Charge),
		intOr(c.Rate), intOr(c.Billed), intOr(c.Price),
		orNil(c.SIPCallID), orNil(c.RemoteIP), orNil(c.Codec), jsonOr(c.Quality, c.Quality != nil), jsonOr(c.Meta, c.Meta != nil), micros(c.Modified))
}

// orNil is a text as it is stored: NULL when it is empty.
func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// micros is a moment as it is stored: NULL when it is zero.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// numberOr is a number that is NULL when it is not set.
func numberOr(n int64, set bool) any {
	if !set {
		return nil
	}
	return n
}

// jsonOr is an object that is NULL when it is not set.
func jsonOr[T any](v T, set bool) any {
	if !set {
		return nil
	}
	return db.JSONOf(v)
}

// intOr is the number behind a pointer, NULL for nil.
func intOr[T ~int | ~int64](n *T) any {
	if n == nil {
		return nil
	}
	return int64(*n)
}

func amountPtr(n sql.NullInt64) *money.Amount {
	if !n.Valid {
		return nil
	}
	a := money.Amount(n.Int64)
	return &a
}

// saveLegs writes legs, each at most once, whether they are there or not.
func saveLegs(ctx context.Context, tx *db.Tx, legs []*Call) error {
	err := legInserts.insertAll(ctx, tx, len(legs), func(args []any, i int) []any { return legs[i].values(args) })
	if err != nil {
		return fmt.Errorf("save legs: %w", err)
	}
	return nil
}

// dropLeg removes the record of a leg that never rang.
func dropLeg(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM call_leg WHERE uuid = $1 AND state = 'init'", id); err != nil {
		return fmt.Errorf("drop leg: %w", err)
	}
	return nil
}

func scanLeg(scan func(...any) error) (Call, error) {
	var c Call
	var parent, lease, app, profile, thread, country, to, stack, reason, by, machine, charge, callID, ip, codec db.Text
	var tn, q850, rate, billed, price sql.NullInt64
	var state string
	var duration int64
	var created, initOn, ring, answer, bridge, hangup, destroy, finished, modified db.Time
	var quality db.JSON[*Quality]
	var meta db.JSON[map[string]any]
	err := scan(&c.ID, &c.Account, &c.Node, &parent, &c.Kind, &c.Direction, &c.From, &c.To, &tn, &lease, &app, &profile, &thread, &country, &created,
		&state, &duration, &initOn, &ring, &answer, &bridge, &hangup, &destroy, &finished, &to, &q850, &stack, &reason, &by, &machine, &charge, &rate, &billed, &price,
		&callID, &ip, &codec, &quality, &meta, &modified)
	if err != nil {
		return Call{}, err
	}
	if tn.Valid {
		c.TN = e164.Number(fmt.Sprint(tn.Int64))
	}
	c.Parent, c.Lease, c.App, c.Profile, c.Thread, c.Country = string(parent), string(lease), string(app), string(profile), string(thread), string(country)
	c.State, c.BridgedTo, c.Q850, c.Stack, c.Reason, c.HangupBy = call.State(state), string(to), int(q850.Int64), string(stack), string(reason), string(by)
	c.Machine, c.Charge, c.Rate, c.Billed, c.Price = string(machine), string(charge), amountPtr(rate), intPtr(billed), amountPtr(price)
	c.SIPCallID, c.RemoteIP, c.Codec, c.Quality, c.Meta = string(callID), string(ip), string(codec), quality.V, meta.V
	c.Created, c.InitOn, c.RingOn, c.AnswerOn, c.BridgeOn = created.Time, initOn.Time, ring.Time, answer.Time, bridge.Time
	c.HangupOn, c.DestroyOn, c.FinishedOn, c.Modified = hangup.Time, destroy.Time, finished.Time, modified.Time
	return c, nil
}

func legsWhere(ctx context.Context, q db.Querier, tail string, args ...any) ([]Call, error) {
	rows, err := q.Query(ctx, "SELECT "+strings.Join(legColumns, ", ")+" FROM call_leg "+tail, args...)
	if err != nil {
		return nil, fmt.Errorf("legs: %w", err)
	}
	return collect(rows, scanLeg)
}

// legOf reads a leg of an account; an empty account reads any. A 404 "Call not found".
func legOf(ctx context.Context, q db.Querier, account, id string) (Call, error) {
	legs, err := legsWhere(ctx, q, "WHERE uuid = $1 AND ($2 = '' OR account = $2)", id, account)
	if err == nil && len(legs) == 0 {
		err = fault.Missing("Call")
	}
	if err != nil {
		return Call{}, err
	}
	return legs[0], nil
}

// legBySIP finds the newest inbound leg with a Call-ID.
func legBySIP(ctx context.Context, q db.Querier, callID string) (Call, bool, error) {
	legs, err := legsWhere(ctx, q, "WHERE sip_call_id = $1 AND direction = 'in' ORDER BY created_on DESC LIMIT 1", callID)
	if err != nil || len(legs) == 0 {
		return Call{}, false, err
	}
	return legs[0], true, nil
}

func childrenOf(ctx context.Context, q db.Querier, id string) ([]Call, error) {
	return legsWhere(ctx, q, fmt.Sprintf("WHERE parent = $1 ORDER BY created_on, uuid LIMIT %d", maxRawLogs), id)
}

// legOrder are the columns that searches may sort by.
var legOrder = map[string]string{"tn": "tn", "to": "party_to", "from": "party_from", "state": "state", "duration": "duration", "created_on": "created_on", "modified_on": "modified_on"}

// orderBy writes an ORDER BY of known columns, newest first when none is asked.
func orderBy(order []Sort, columns map[string]string, prefix string) string {
	var parts []string
	for _, o := range order {
		column, ok := columns[o.Field]
		if !ok {
			continue
		}
		if o.Desc {
			column += " DESC"
		}
		parts = append(parts, column)
	}
	if len(parts) == 0 {
		parts = append(parts, prefix+"created_on DESC")
	}
	return " ORDER BY " + strings.Join(append(parts, prefix+"uuid DESC"), ", ")
}

func (f *CallFilter) where() *db.Where {
	w := &db.Where{Or: f.Or}
	w.Fix("account = ?", f.Account)
	if f.AppsOnly {
		w.Fix("app IS NOT NULL")
	}
	if f.LiveOnly {
		w.Fix("hangup_on IS NULL")
	}
	equal := func(column, value string) {
		if value != "" {
			w.Add(column+" = ?", value)
		}
	}
	mask := func(column, value string) {
		if value != "" {
			w.Mask(column, value)
		}
	}
	none := func(column string, asked bool) {
		if asked {
			w.Add(column + " IS NULL")
		}
	}
	equal("direction", f.Direction)
	equal("kind", f.Kind)
	equal("app", f.App)
	equal("profile", f.Profile)
	equal("parent", f.Parent)
	equal("reason", f.Reason)
	equal("thread", strings.ToLower(f.Thread))
	none("app", f.NoApp)
	none("profile", f.NoProfile)
	none("parent", f.NoParent)
	mask("party_to", f.To)
	mask("REPLACE(party_from, '+', '')", strings.ReplaceAll(f.From, "+", ""))
	if f.TN != "" {
		w.Digits("tn", f.TN)
	}
	if f.States != nil {
		w.In("state", f.States)
	}
	if f.MinDuration != nil {
		w.Add("duration >= ?", *f.MinDuration)
	}
	if f.MaxDuration != nil {
		w.Add("duration <= ?", *f.MaxDuration)
	}
	if f.Q850 != nil {
		w.Add("q850 = ?", *f.Q850)
	}
	if f.Unknown {
		w.Add("1 = 0")
	}
	if f.WithoutUnknown {
		w.Add("1 = 1")
	}
	w.Between("destroy_on", f.DestroyFrom, f.DestroyTo)
	w.Between("created_on", f.CreatedFrom, f.CreatedTo)
	w.Between("modified_on", f.ModifiedFrom, f.ModifiedTo)
	return w
}

func searchLegs(ctx context.Context, q db.Querier, f CallFilter) ([]Call, int, error) {
	where, args := f.where().SQL()
	var total int
	if err := q.QueryRow(ctx, "SELECT COUNT(*) FROM call_leg"+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count legs: %w", err)
	}
	legs, err := legsWhere(ctx, q, where+orderBy(f.Order, legOrder, "")+db.Limit(f.Take, f.Skip), args...)
	return legs, total, err
}

const logColumns = "uuid, account, call, app, name, success, reason, path, element, command, response, started_on, ended_on, created_on"

func (l *Log) values(args []any) []any {
	return append(args, l.ID, l.Account, l.Call, orNil(l.App), l.Name, l.Success, l.Reason, l.Path, string(l.Element), string(l.Command), orNil(string(l.Response)),
		micros(l.Started), micros(l.Ended), micros(l.Created))
}

func insertLogs(ctx context.Context, tx *db.Tx, logs []*Log) error {
	err := logInserts.insertAll(ctx, tx, len(logs), func(args []any, i int) []any { return logs[i].values(args) })
	if err != nil {
		return fmt.Errorf("insert logs: %w", err)
	}
	return nil
}

func scanLog(scan func(...any) error) (Log, error) {
	var l Log
	var app, response db.Text
	var element, command string
	var started, ended, created db.Time
	err := scan(&l.ID, &l.Account, &l.Call, &app, &l.Name, &l.Success, &l.Reason, &l.Path, &element, &command, &response, &started, &ended, &created)
	l.App, l.Element, l.Command, l.Started, l.Ended, l.Created = string(app), []byte(element), []byte(command), started.Time, ended.Time, created.Time
	if response != "" {
		l.Response = []byte(response)
	}
	return l, err
}

func logsWhere(ctx context.Context, q db.Querier, tail string, args ...any) ([]Log, error) {
	rows, err := q.Query(ctx, "SELECT "+logColumns+" FROM call_log "+tail, args...)
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	return collect(rows, scanLog)
}

func logsOf(ctx context.Context, q db.Querier, call string) ([]Log, error) {
	return logsWhere(ctx, q, fmt.Sprintf("WHERE call = $1 ORDER BY created_on, uuid LIMIT %d", maxRawLogs), call)
}

// logOrder are the columns that a log search may sort by; channel_uuid is the older name of the call.
var logOrder = map[string]string{"name": "l.name", "from": "c.party_from", "tn": "c.tn", "channel_uuid": "l.call", "created_on": "l.created_on", "modified_on": "l.created_on"}

func searchLogs(ctx context.Context, q db.Querier, f LogFilter) ([]Log, int, error) {
	w := &db.Where{Or: f.Or}
	w.Fix("l.account = ?", f.Account)
	w.Fix("l.app = ?", f.App)
	if f.Name != "" {
		w.Add("l.name = ?", f.Name)
	}
	if f.Success != nil {
		w.Add("l.success = ?", *f.Success)
	}
	if f.From != "" {
		w.Mask("REPLACE(c.party_from, '+', '')", strings.ReplaceAll(f.From, "+", ""))
	}
	if f.TN != "" {
		w.Digits("c.tn", f.TN)
	}
	if f.Call != "" {
		w.Add("l.call = ?", f.Call)
	}
	w.Between("l.created_on", f.CreatedFrom, f.CreatedTo)
	w.Between("l.created_on", f.ModifiedFrom, f.ModifiedTo)
	where, args := w.SQL()
	const from = " FROM call_log l JOIN call_leg c ON c.uuid = l.call"
	var total int
	if err := q.QueryRow(ctx, "SELECT COUNT(*)"+from+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count logs: %w", err)
	}
	rows, err := q.Query(ctx, "SELECT l."+strings.ReplaceAll(logColumns, ", ", ", l.")+from+where+orderBy(f.Order, logOrder, "l.")+db.Limit(f.Take, f.Skip), args...)
	if err != nil {
		return nil, 0, fmt.Errorf("logs: %w", err)
	}
	logs, err := collect(rows, scanLog)
	return logs, total, err
}

// newestLogs are the last commands that an app ran.
func newestLogs(ctx context.Context, q db.Querier, app string, n int) ([]Log, error) {
	return logsWhere(ctx, q, fmt.Sprintf("WHERE app = $1 ORDER BY created_on DESC, uuid DESC LIMIT %d", n), app)
}

func missing(entity string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.Missing(entity)
	}
	return err
}
