package messaging

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

const messageColumns = `uuid, account, type, state, sender, recipient, recipients, message, thread, delivered, automated, readed, reason, reference_id, callback_url, profile, campaign,
	parent, created_by, created_on, modified_on, sent_on, delivered_on, encoding, segments, price, country, operator, error, meta, context, due_on, expires_on, attempt, node, link, ref`

const messageWidth = 37

func messageArgs(args []any, m *Message) []any {
	readed := any(nil)
	if m.Type == Inbound {
		readed = m.Readed
	}
	return append(args, m.ID, m.Account, m.Type, m.State, db.Text(m.From), db.Text(m.To), db.JSONOf(m.Recipients), m.Text, db.Text(m.Thread), m.Delivered, m.Automated, readed,
		db.Text(m.Reason), db.Text(m.ReferenceID), db.Text(m.CallbackURL), db.Text(m.Profile), db.Text(m.Campaign), db.Text(m.Parent), db.Text(m.CreatedBy),
		db.At(m.Created), db.At(m.Modified), db.At(m.Sent), db.At(m.DeliveredOn), m.Encoding, int64(m.Segments), int64(m.Price), db.Text(m.Country), db.Text(m.Operator),
		db.Text(m.Error), db.Text(m.Meta), db.Text(m.ContextID), db.At(m.Due), db.At(m.Expires), int64(m.Attempt), db.Text(m.Node), db.Text(m.Link), db.Text(m.Ref))
}

var insertSQL = db.NewBulk("INSERT INTO sms ("+messageColumns+") {values}", 0,
	"TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "BOOLEAN", "BOOLEAN", "BOOLEAN", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT",
	"TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "TEXT", "BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT")

// insertMessages writes rows, many with one statement.
func (s *Service) insertMessages(ctx context.Context, tx *db.Tx, list []*Message) error {
	if err := s.keepContexts(ctx, tx, list); err != nil {
		return err
	}
	args := make([]any, 0, len(list)*messageWidth)
	for _, m := range list {
		args = messageArgs(args, m)
	}
	if _, err := insertSQL.Exec(ctx, tx, nil, args); err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	return nil
}

func scanMessage(scan func(...any) error) (*Message, error) {
	m := &Message{}
	var from, to, thread, reason, ref, url, profile, campaign, parent, by, country, operator, code, meta, snapshot, node, link, carrierRef db.Text
	var recipients db.JSON[[]string]
	var readed sql.NullBool
	var price sql.NullInt64
	var created, modified, sent, delivered, due, expires db.Time
	err := scan(&m.ID, &m.Account, &m.Type, &m.State, &from, &to, &recipients, &m.Text, &thread, &m.Delivered, &m.Automated, &readed, &reason, &ref, &url, &profile, &campaign,
		&parent, &by, &created, &modified, &sent, &delivered, &m.Encoding, &m.Segments, &price, &country, &operator, &code, &meta, &snapshot, &due, &expires, &m.Attempt, &node, &link, &carrierRef)
	m.From, m.To, m.Recipients, m.Thread, m.Readed = string(from), string(to), recipients.V, string(thread), readed.Bool
	m.Reason, m.ReferenceID, m.CallbackURL, m.Profile, m.Campaign = string(reason), string(ref), string(url), string(profile), string(campaign)
	m.Parent, m.CreatedBy, m.Created, m.Modified, m.Sent, m.DeliveredOn = string(parent), string(by), created.Time, modified.Time, sent.Time, delivered.Time
	m.Price, m.Country, m.Operator, m.Error = money.Amount(price.Int64), string(country), string(operator), string(code)
	m.Meta, m.ContextID = json.RawMessage(meta), string(snapshot)
	m.Due, m.Expires, m.Node, m.Link, m.Ref = due.Time, expires.Time, string(node), string(link), string(carrierRef)
	return m, err
}

func queryMessages(ctx context.Context, q db.Querier, tail string, args ...any) ([]*Message, error) {
	return collect(ctx, q, "SELECT "+messageColumns+" FROM sms "+tail, args...)
}

func collect(ctx context.Context, q db.Querier, query string, args ...any) ([]*Message, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	defer rows.Close()
	var out []*Message
	for rows.Next() {
		m, err := scanMessage(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("messages: %w", err)
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

// loadMessage gives a message of an account, or a 404; types empty means any.
func loadMessage(ctx context.Context, q db.Querier, account, id string, types ...string) (*Message, error) {
	m, err := scanMessage(q.QueryRow(ctx, "SELECT "+messageColumns+" FROM sms WHERE uuid = $1 AND account = $2", id, account).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Missing("SMS")
	}
	if err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	for _, t := range types {
		if m.Type == t {
			return m, nil
		}
	}
	if len(types) > 0 {
		return nil, fault.Missing("SMS")
	}
	return m, nil
}

// countStates gives the counters of a request's messages.
func countStates(ctx context.Context, q db.Querier, parent string) (Counters, error) {
	var c Counters
	rows, err := q.Query(ctx, "SELECT state, delivered, count(*) FROM sms WHERE parent = $1 GROUP BY state, delivered", parent)
	if err != nil {
		return c, fmt.Errorf("count items: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var state string
		var delivered bool
		var n int
		if err := rows.Scan(&state, &delivered, &n); err != nil {
			return c, fmt.Errorf("count items: %w", err)
		}
		c.Total += n
		switch state {
		case Created:
			c.Created += n
		case Sending:
			c.Sending += n
		case Success:
			c.Success += n
		case Failed:
			c.Failed += n
		}
		if delivered {
			c.Delivered += n
		}
	}
	return c, rows.Err()
}

// Filter chooses messages.
type Filter struct {
	Account                  string
	Types                    []string
	Text                     string // masks
	From, To                 string
	TN                       string // own number, digits
	Delivered, Readed        *bool
	State, ReferenceID       string // the latter a mask, as Thread
	Thread, Type             string
	Profile, Campaign        Related
	Parent                   string
	From2, To2               time.Time // created
	ModifiedFrom, ModifiedTo time.Time
	Or                       bool
	Order                    []Sort
	Take, Skip               int
}

// Related filters by a related object: a set one without a name takes what has none.
type Related struct {
	Set  bool
	Name string // uuid of a profile, mask for a campaignId
}

// none adds the filter for what has no such object, and tells whether that is all of the filter.
func (r Related) none(w *db.Where, column string) bool {
	if r.Set && r.Name == "" {
		w.Add(column + " IS NULL")
	}
	return r.Name == ""
}

// Sort is one field of a sort order, by its wire name.
type Sort struct {
	Field string
	Desc  bool
}

var sortColumns = map[string]string{
	"tn": "CASE WHEN type = 'smsi' THEN recipient ELSE sender END", "to": "recipient", "message": "message", "state": "state", "created_on": "uuid", "modified_on": "modified_on",
	"reference_id": "reference_id", "delivered": "delivered",
}

func (f *Filter) where() *db.Where {
	w := &db.Where{Or: f.Or}
	w.Fix("account = ?", f.Account)
	if len(f.Types) > 0 {
		w.Fix("type IN ('" + strings.Join(f.Types, "','") + "')")
	}
	if f.Parent != "" {
		w.Fix("parent = ?", f.Parent)
	}
	for column, mask := range map[string]string{"message": f.Text, "sender": f.From, "recipient": f.To, "reference_id": f.ReferenceID, "thread": f.Thread} {
		if mask != "" {
			w.Mask(column, mask)
		}
	}
	if f.TN != "" {
		w.Add("(CASE WHEN type = 'smsi' THEN recipient ELSE sender END) = ?", f.TN)
	}
	for column, v := range map[string]string{"state": f.State, "type": f.Type} {
		if v != "" {
			w.Add(column+" = ?", v)
		}
	}
	if !f.Profile.none(w, "profile") {
		w.Add("profile = ?", f.Profile.Name)
	}
	if !f.Campaign.none(w, "campaign") {
		w.Mask("campaign", f.Campaign.Name)
	}
	if f.Delivered != nil {
		w.Add("delivered = ?", *f.Delivered)
	}
	if f.Readed != nil {
		w.Add("readed = ?", *f.Readed)
	}
	w.Between("created_on", f.From2, f.To2)
	w.Between("modified_on", f.ModifiedFrom, f.ModifiedTo)
	return w
}

// Search gives a window of the messages that fit, newest first unless told otherwise, and how many fit.
func (s *Service) Search(ctx context.Context, f Filter) ([]*Message, int, error) {
	where, args := f.where().SQL()
	var total int
	if err := s.db.Read().QueryRow(ctx, "SELECT count(*) FROM sms"+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count messages: %w", err)
	}
	var order []string
	for _, o := range f.Order {
		if c := sortColumns[o.Field]; c != "" {
			if o.Desc {
				c += " DESC"
			}
			order = append(order, c)
		}
	}
	if len(order) == 0 {
		order = []string{"uuid DESC"}
	}
	list, err := queryMessages(ctx, s.db.Read(), where+" ORDER BY "+strings.Join(order, ", ")+db.Limit(f.Take, f.Skip), args...)
	return list, total, err
}

// children gives the messages of requests, by request.
func children(ctx context.Context, q db.Querier, parents []string) (map[string]*Message, error) {
	if len(parents) == 0 {
		return nil, nil
	}
	var w db.Where
	w.In("parent", parents)
	where, args := w.SQL()
	list, err := queryMessages(ctx, q, where, args...)
	out := map[string]*Message{}
	for _, m := range list {
		out[m.Parent] = m
	}
	return out, err
}

// MarkReaded notes that an inbound message was read, or not.
func (s *Service) MarkReaded(ctx context.Context, account, id string, readed bool) (*Message, error) {
	var m *Message
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if m, err = loadMessage(ctx, tx, account, id, Inbound); err != nil {
			return err
		}
		m.Readed, m.Modified = readed, s.now()
		if _, err := tx.Exec(ctx, "UPDATE sms SET readed = $1, modified_on = $2 WHERE uuid = $3", readed, db.At(m.Modified), id); err != nil {
			return fmt.Errorf("mark readed: %w", err)
		}
		return nil
	})
	return m, err
}

// updateParent writes what a request became.
func updateParent(ctx context.Context, tx *db.Tx, m *Message) error {
	_, err := tx.Exec(ctx, "UPDATE sms SET state = $1, reason = $2, error = $3, sent_on = $4, price = $5, modified_on = $6 WHERE uuid = $7",
		m.State, db.Text(m.Reason), db.Text(m.Error), db.At(m.Sent), int64(m.Price), db.At(m.Modified), m.ID)
	if err != nil {
		return fmt.Errorf("update request: %w", err)
	}
	return nil
}

// lockParent reads a request for a change.
func lockParent(ctx context.Context, tx *db.Tx, id string) (*Message, error) {
	m, err := scanMessage(tx.QueryRow(ctx, "SELECT "+messageColumns+" FROM sms WHERE uuid = $1"+tx.ForUpdate(), id).Scan)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	return m, nil
}

// countQueued counts an account's messages that wait.
func countQueued(ctx context.Context, q db.Querier, account string) (n int64, err error) {
	if err = q.QueryRow(ctx, "SELECT count(*) FROM sms WHERE account = $1 AND due_on IS NOT NULL", account).Scan(&n); err != nil {
		return 0, fmt.Errorf("count queue: %w", err)
	}
	return n, nil
}
