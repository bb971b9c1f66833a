package number

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

const leaseColumns = "uuid, account, tn, state, plan, name, autorenew, voice, sms, mms, fax, emergency, app, connection, sip_user, messaging_profile, caller_filter, tn_order, created_by, modified_by, expires_on, released_on, retry_on, notice, created_on, modified_on"

func scanLease(scan func(...any) error) (Lease, error) {
	var l Lease
	var tn int64
	var name, app, conn, user, profile, filter, order, by, lastBy db.Text
	var expires, released, retry, created, modified db.Time
	err := scan(&l.ID, &l.Account, &tn, &l.State, &l.Plan, &name, &l.AutoRenew, &l.On.Voice, &l.On.SMS, &l.On.MMS, &l.On.Fax, &l.On.Emergency,
		&app, &conn, &user, &profile, &filter, &order, &by, &lastBy, &expires, &released, &retry, &l.Notice, &created, &modified)
	l.TN = numberOf(tn)
	l.Name, l.App, l.Connection, l.SIPUser, l.MessagingProfile = string(name), string(app), string(conn), string(user), string(profile)
	l.CallerFilter, l.Order, l.CreatedBy, l.ModifiedBy = string(filter), string(order), string(by), string(lastBy)
	l.Expires, l.ReleasedOn, l.RetryOn, l.Created, l.Modified = expires.Time, released.Time, retry.Time, created.Time, modified.Time
	return l, err
}

func numberOf(tn int64) e164.Number { return e164.Number(strconv.FormatInt(tn, 10)) }

func oneLease(row *sql.Row) (Lease, bool, error) {
	l, err := scanLease(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Lease{}, false, nil
	}
	if err != nil {
		return Lease{}, false, fmt.Errorf("lease: %w", err)
	}
	return l, true, nil
}

// ByTN gives the lease that a number has now, of any account.
func (s *Service) ByTN(ctx context.Context, q db.Querier, tn e164.Number) (Lease, bool, error) {
	return oneLease(q.QueryRow(ctx, "SELECT "+leaseColumns+" FROM tn_lease WHERE tn = $1 AND state <> 'released'", tn.Int()))
}

// ByKey gives an account's lease by uuid or number, or a 404 "TN lease not found". Released leases are not found.
func (s *Service) ByKey(ctx context.Context, q db.Querier, account, key string) (Lease, error) {
	return byKey(ctx, q, account, key, "")
}

// lockByKey is ByKey of a lease that is about to change: it is written back as a whole, so nobody else may change it meanwhile.
func lockByKey(ctx context.Context, tx *db.Tx, account, key string) (Lease, error) {
	return byKey(ctx, tx, account, key, tx.ForUpdate())
}

// leaseOf gives an account's lease in any state, or a 404.
func leaseOf(ctx context.Context, q db.Querier, account, id string) (Lease, error) {
	l, ok, err := oneLease(q.QueryRow(ctx, "SELECT "+leaseColumns+" FROM tn_lease WHERE uuid = $1 AND account = $2", id, account))
	if err == nil && !ok {
		err = fault.Missing("TN lease")
	}
	return l, err
}

func byKey(ctx context.Context, q db.Querier, account, key, tail string) (Lease, error) {
	var row *sql.Row
	if id, err := ident.Parse(key); err == nil {
		row = q.QueryRow(ctx, "SELECT "+leaseColumns+" FROM tn_lease WHERE uuid = $1 AND account = $2 AND state <> 'released'"+tail, id, account)
	} else if tn, err := e164.Parse(key); err == nil {
		row = q.QueryRow(ctx, "SELECT "+leaseColumns+" FROM tn_lease WHERE tn = $1 AND account = $2 AND state <> 'released'"+tail, tn.Int(), account)
	} else {
		return Lease{}, fault.Missing("TN lease")
	}
	l, ok, err := oneLease(row)
	if err == nil && !ok {
		err = fault.Missing("TN lease")
	}
	return l, err
}

func leases(ctx context.Context, q db.Querier, tail string, args ...any) ([]Lease, error) {
	rows, err := q.Query(ctx, "SELECT "+leaseColumns+" FROM tn_lease "+tail, args...)
	return db.List("leases", rows, err, scanLease)
}

// ofOrder gives the leases that an order made, released ones too.
func ofOrder(ctx context.Context, q db.Querier, order string) ([]Lease, error) {
	return leases(ctx, q, "WHERE tn_order = $1 ORDER BY tn", order)
}

// ByApp gives the leases whose calls run the app's flow.
func (s *Service) ByApp(ctx context.Context, q db.Querier, account, app string) ([]Lease, error) {
	return leases(ctx, q, "WHERE account = $1 AND app = $2 AND state <> 'released' ORDER BY created_on DESC, uuid DESC", account, app)
}

// ByProfile gives the leases tied to a messaging profile, the number pool.
func (s *Service) ByProfile(ctx context.Context, q db.Querier, account, profile string) ([]Lease, error) {
	return leases(ctx, q, "WHERE account = $1 AND messaging_profile = $2 AND state <> 'released' ORDER BY created_on DESC, uuid DESC", account, profile)
}

// CountByCampaign counts the numbers that are in a campaign.
func (s *Service) CountByCampaign(ctx context.Context, q db.Querier, campaign string) (n int, err error) {
	if err = q.QueryRow(ctx, "SELECT count(*) FROM subscription WHERE campaign = $1", campaign).Scan(&n); err != nil {
		return 0, fmt.Errorf("numbers of a campaign: %w", err)
	}
	return n, nil
}

// SMS gives the sms subscription of a lease.
func (s *Service) SMS(ctx context.Context, q db.Querier, lease string) (Subscription, bool, error) {
	var b Subscription
	var profile, campaign, reason db.Text
	var created, modified db.Time
	err := q.QueryRow(ctx, "SELECT uuid, lease, account, kind, messaging_profile, campaign, state, reason, created_on, modified_on FROM subscription WHERE lease = $1 AND kind = 'sms'", lease).
		Scan(&b.ID, &b.Lease, &b.Account, &b.Kind, &profile, &campaign, &b.State, &reason, &created, &modified)
	if errors.Is(err, sql.ErrNoRows) {
		return Subscription{}, false, nil
	}
	if err != nil {
		return Subscription{}, false, fmt.Errorf("sms subscription: %w", err)
	}
	b.Profile, b.Campaign, b.Reason, b.Created, b.Modified = string(profile), string(campaign), string(reason), created.Time, modified.Time
	return b, true, nil
}

// TNView is a number's short form inside calls and messages; "null" for a number that is not in the inventory.
func (s *Service) TNView(ctx context.Context, q db.Querier, tn e164.Number) (json.RawMessage, error) {
	var v struct {
		TN       int64   `json:"tn"`
		Type     string  `json:"type"`
		SMS      bool    `json:"sms"`
		Created  string  `json:"created_on"`
		Modified string  `json:"modified_on"`
		Deleted  *string `json:"deleted_on"`
	}
	var created, modified db.Time
	err := q.QueryRow(ctx, "SELECT tn, kind, sms, created_on, modified_on FROM tn WHERE tn = $1", tn.Int()).Scan(&v.TN, &v.Type, &v.SMS, &created, &modified)
	if errors.Is(err, sql.ErrNoRows) {
		return json.RawMessage("null"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("number %s: %w", tn, err)
	}
	v.Created, v.Modified = wireTime(created.Time), wireTime(modified.Time)
	return json.Marshal(v)
}

func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func insertLease(ctx context.Context, tx *db.Tx, l Lease) error {
	_, err := tx.Exec(ctx, "INSERT INTO tn_lease ("+leaseColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)",
		l.ID, l.Account, l.TN.Int(), l.State, l.Plan, db.Text(l.Name), l.AutoRenew, l.On.Voice, l.On.SMS, l.On.MMS, l.On.Fax, l.On.Emergency, db.Text(l.App), db.Text(l.Connection), db.Text(l.SIPUser),
		db.Text(l.MessagingProfile), db.Text(l.CallerFilter), db.Text(l.Order), db.Text(l.CreatedBy), db.Text(l.ModifiedBy), db.At(l.Expires), db.At(l.ReleasedOn), db.At(l.RetryOn), int64(l.Notice), db.At(l.Created), db.At(l.Modified))
	if err != nil {
		return fmt.Errorf("make lease: %w", err)
	}
	return nil
}

func updateLease(ctx context.Context, tx *db.Tx, l Lease) error {
	_, err := tx.Exec(ctx, `UPDATE tn_lease SET state = $1, name = $2, autorenew = $3, voice = $4, sms = $5, mms = $6, fax = $7, emergency = $8, app = $9, connection = $10, sip_user = $11,
		messaging_profile = $12, caller_filter = $13, expires_on = $14, released_on = $15, modified_on = $16, modified_by = $17, retry_on = $18, notice = $19 WHERE uuid = $20`,
		l.State, db.Text(l.Name), l.AutoRenew, l.On.Voice, l.On.SMS, l.On.MMS, l.On.Fax, l.On.Emergency, db.Text(l.App), db.Text(l.Connection), db.Text(l.SIPUser),
		db.Text(l.MessagingProfile), db.Text(l.CallerFilter), db.At(l.Expires), db.At(l.ReleasedOn), db.At(l.Modified), db.Text(l.ModifiedBy), db.At(l.RetryOn), int64(l.Notice), l.ID)
	if err != nil {
		return fmt.Errorf("change lease: %w", err)
	}
	return nil
}

const subscriptionColumns = "uuid, lease, account, kind, messaging_profile, campaign, state, reason, created_on, modified_on"

func saveSubscription(ctx context.Context, tx *db.Tx, b Subscription) error {
	_, err := tx.Exec(ctx, "INSERT INTO subscription ("+subscriptionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (lease, kind) DO UPDATE SET messaging_profile = excluded.messaging_profile, campaign = excluded.campaign, state = excluded.state, reason = excluded.reason, modified_on = excluded.modified_on`,
		b.ID, b.Lease, b.Account, b.Kind, db.Text(b.Profile), db.Text(b.Campaign), b.State, db.Text(b.Reason), db.At(b.Created), db.At(b.Modified))
	if err != nil {
		return fmt.Errorf("save subscription: %w", err)
	}
	return nil
}

// Subscriptions lists what is switched on for a lease.
func (s *Service) Subscriptions(ctx context.Context, q db.Querier, lease string) ([]Subscription, error) {
	rows, err := q.Query(ctx, "SELECT "+subscriptionColumns+" FROM subscription WHERE lease = $1 ORDER BY kind", lease)
	if err != nil {
		return nil, fmt.Errorf("subscriptions: %w", err)
	}
	defer rows.Close()
	out := []Subscription{}
	for rows.Next() {
		var b Subscription
		var profile, campaign, reason db.Text
		var created, modified db.Time
		if err := rows.Scan(&b.ID, &b.Lease, &b.Account, &b.Kind, &profile, &campaign, &b.State, &reason, &created, &modified); err != nil {
			return nil, fmt.Errorf("subscriptions: %w", err)
		}
		b.Profile, b.Campaign, b.Reason, b.Created, b.Modified = string(profile), string(campaign), string(reason), created.Time, modified.Time
		out = append(out, b)
	}
	return out, rows.Err()
}

// removeSubscriptions ends services of a lease; kind "" is all of them.
func removeSubscriptions(ctx context.Context, tx *db.Tx, lease, kind string) error {
	_, err := tx.Exec(ctx, "DELETE FROM subscription WHERE lease = $1 AND ($2 = '' OR kind = $2)", lease, kind)
	if err != nil {
		return fmt.Errorf("end subscription: %w", err)
	}
	return nil
}

// LeaseFilter chooses leases.
type LeaseFilter struct {
	Account                                   string
	TN                                        string // mask over digits
	AutoRenew                                 *bool
	App, Connection, SIPUser, Profile, Filter httpOpt
	AppsSkip, ConnectionsSkip, ProfilesSkip   []string
	Features                                  []string
	CreatedFrom, CreatedTo, ModFrom, ModTo    time.Time
	ExpiresFrom, ExpiresTo                    time.Time
	Or                                        bool
	Order                                     []Sort
	Take, Skip                                int
}

// httpOpt is a nullable relation filter: not set, null, or an id.
type httpOpt struct {
	Set bool
	ID  string // empty: rows without the relation
}

// Leases gives a window of the account's leases that fit, and how many fit.
func (s *Service) Leases(ctx context.Context, f LeaseFilter) ([]Lease, int, error) {
	w := db.Where{Or: f.Or}
	w.Fix("account = ? AND state <> 'released'", f.Account)
	if f.TN != "" {
		w.Digits("tn", f.TN)
	}
	if f.AutoRenew != nil {
		w.Add("autorenew = ?", *f.AutoRenew)
	}
	for _, x := range []struct {
		column string
		httpOpt
	}{{"app", f.App}, {"connection", f.Connection}, {"sip_user", f.SIPUser}, {"messaging_profile", f.Profile}, {"caller_filter", f.Filter}} {
		switch {
		case x.Set && x.ID == "":
			w.Add(x.column + " IS NULL")
		case x.Set:
			w.Add(x.column+" = ?", x.ID)
		}
	}
	w.NotIn("app", f.AppsSkip)
	w.NotIn("connection", f.ConnectionsSkip)
	w.NotIn("messaging_profile", f.ProfilesSkip)
	for _, name := range f.Features {
		w.Add(featureColumns[name])
	}
	w.Between("created_on", f.CreatedFrom, f.CreatedTo)
	w.Between("modified_on", f.ModFrom, f.ModTo)
	w.Between("expires_on", f.ExpiresFrom, f.ExpiresTo)
	where, args := w.SQL()
	var total int
	if err := s.db.Read().QueryRow(ctx, "SELECT count(*) FROM tn_lease"+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count leases: %w", err)
	}
	order := orderBy(f.Order, map[string]string{"tn": "tn", "created_on": "created_on", "modified_on": "modified_on", "expired_on": "expires_on"})
	out, err := leases(ctx, s.db.Read(), where+order+db.Limit(f.Take, f.Skip), args...)
	return out, total, err
}

// due gives leases for the hourly run, oldest end first, after a place in that order: those to be renewed that end before one time, and those to be
// released that ended before another.
func (s *Service) due(ctx context.Context, q db.Querier, renew, release time.Time, after Lease, limit int) ([]Lease, error) {
	return leases(ctx, q, `WHERE state <> 'released' AND (autorenew = $1 AND expires_on <= $2 OR autorenew = $3 AND expires_on <= $4)
		AND (expires_on > $5 OR expires_on = $5 AND uuid > $6) ORDER BY expires_on, uuid`+db.Limit(limit, 0),
		true, renew.UnixMicro(), false, release.UnixMicro(), after.Expires.UnixMicro(), after.ID)
}

// ending gives leases that will not be renewed and whose next notice is due, oldest end first, after a place in that order.
func (s *Service) ending(ctx context.Context, q db.Querier, now time.Time, after Lease, limit int) ([]Lease, error) {
	within := func(days int) int64 { return now.AddDate(0, 0, days).UnixMicro() }
	return leases(ctx, q, `WHERE state <> 'released' AND autorenew = $1 AND expires_on > $2 AND expires_on <= $3
		AND (notice = 0 OR notice > 3 AND expires_on <= $4 OR notice > 1 AND expires_on <= $5)
		AND (expires_on > $6 OR expires_on = $6 AND uuid > $7) ORDER BY expires_on, uuid`+db.Limit(limit, 0),
		false, now.UnixMicro(), within(7), within(3), within(1), after.Expires.UnixMicro(), after.ID)
}

// tied gives the leases of an account with a voice target, newest first.
func tied(ctx context.Context, q db.Querier, account string, t Target) ([]Lease, error) {
	if t.App != "" {
		return leases(ctx, q, "WHERE account = $1 AND app = $2 AND state <> 'released' ORDER BY created_on DESC, uuid DESC", account, t.App)
	}
	return leases(ctx, q, "WHERE account = $1 AND connection = $2 AND state <> 'released' ORDER BY created_on DESC, uuid DESC", account, t.Connection)
}

// CountByPlan counts the leases of an account by the uuids of their price plans.
func (s *Service) CountByPlan(ctx context.Context, q db.Querier, account string) (map[string]int, error) {
	rows, err := q.Query(ctx, "SELECT plan, count(*) FROM tn_lease WHERE account = $1 AND state <> 'released' GROUP BY plan", account)
	if err != nil {
		return nil, fmt.Errorf("count leases: %w", err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var plan string
		var n int
		if err := rows.Scan(&plan, &n); err != nil {
			return nil, fmt.Errorf("count leases: %w", err)
		}
		out[plan] = n
	}
	return out, rows.Err()
}
