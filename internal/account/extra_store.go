package account

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/db"
)

const cartColumns = `id, user_id, payload, ttl, expired_on, created_on, modified_on`

func scanCart(row scanner) (CartEntry, error) {
	var e CartEntry
	var payload string
	var ttl int64
	var expired, created, modified db.Time
	if err := row.Scan(&e.ID, &e.User, &payload, &ttl, &expired, &created, &modified); err != nil {
		return CartEntry{}, err
	}
	e.Payload, e.TTL = json.RawMessage(payload), time.Duration(ttl)*time.Second
	e.ExpiredOn, e.CreatedOn, e.ModifiedOn = expired.Time, created.Time, modified.Time
	return e, nil
}

func cartOf(ctx context.Context, q db.Querier, user string, now time.Time) ([]CartEntry, error) {
	rows, err := q.Query(ctx, `SELECT `+cartColumns+` FROM cart_entry WHERE user_id = $1 AND expired_on > $2 ORDER BY created_on DESC, id DESC`, user, db.At(now))
	if err != nil {
		return nil, err
	}
	return collect(rows, scanCart)
}

func cartEntry(ctx context.Context, q db.Querier, user, id string, now time.Time) (CartEntry, error) {
	e, err := scanCart(q.QueryRow(ctx, `SELECT `+cartColumns+` FROM cart_entry WHERE id = $1 AND user_id = $2 AND expired_on > $3`, id, user, db.At(now)))
	return e, missing("Cart entry", err)
}

func cartSize(ctx context.Context, q db.Querier, user string) (n int, err error) {
	err = q.QueryRow(ctx, `SELECT COUNT(*) FROM cart_entry WHERE user_id = $1`, user).Scan(&n)
	return n, err
}

func insertCart(ctx context.Context, tx *db.Tx, e *CartEntry) error {
	_, err := tx.Exec(ctx, `INSERT INTO cart_entry (id, user_id, payload, ttl, expired_on, created_on, modified_on) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		e.ID, e.User, string(e.Payload), int64(e.TTL/time.Second), db.At(e.ExpiredOn), db.At(e.CreatedOn), db.At(e.ModifiedOn))
	return err
}

func saveCart(ctx context.Context, tx *db.Tx, e *CartEntry) error {
	_, err := tx.Exec(ctx, `UPDATE cart_entry SET payload = $2, ttl = $3, expired_on = $4, modified_on = $5 WHERE id = $1`,
		e.ID, string(e.Payload), int64(e.TTL/time.Second), db.At(e.ExpiredOn), db.At(e.ModifiedOn))
	return err
}

// removeCart removes one entry of a user, or all with an empty id.
func removeCart(ctx context.Context, tx *db.Tx, user, id string) error {
	_, err := tx.Exec(ctx, `DELETE FROM cart_entry WHERE user_id = $1 AND ($2 = '' OR id = $2)`, user, id)
	return err
}

const addressColumns = `id, account, name, is_physical, is_billing, is_shipping, address1, address2, zip_code, city, country, created_by, modified_by, created_on, modified_on`

func scanAddress(row scanner) (Address, error) {
	var a Address
	var address2, by db.Text
	var created, modified db.Time
	err := row.Scan(&a.ID, &a.Account, &a.Name, &a.Physical, &a.Billing, &a.Shipping, &a.Address1, &address2, &a.ZipCode, &a.City, &a.Country, &a.CreatedBy, &by, &created, &modified)
	a.Address2, a.ModifiedBy, a.CreatedOn, a.ModifiedOn = string(address2), string(by), created.Time, modified.Time
	return a, err
}

// addressesOf lists those of an account, newest first; with a user only those that the user made.
func addressesOf(ctx context.Context, q db.Querier, account, user string) ([]Address, error) {
	rows, err := q.Query(ctx, `SELECT `+addressColumns+` FROM address WHERE account = $1 AND ($2 = '' OR created_by = $2) ORDER BY created_on DESC, id DESC`, account, user)
	if err != nil {
		return nil, err
	}
	return collect(rows, scanAddress)
}

func addressOf(ctx context.Context, q db.Querier, account, id string) (Address, error) {
	a, err := scanAddress(q.QueryRow(ctx, `SELECT `+addressColumns+` FROM address WHERE id = $1 AND account = $2`, id, account))
	return a, missing("Address", err)
}

func insertAddress(ctx context.Context, tx *db.Tx, a *Address) error {
	_, err := tx.Exec(ctx, `INSERT INTO address (`+addressColumns+`) VALUES `+db.Values(1, 15),
		a.ID, a.Account, a.Name, a.Physical, a.Billing, a.Shipping, a.Address1, db.Text(a.Address2), a.ZipCode, a.City, a.Country, a.CreatedBy, db.Text(a.ModifiedBy),
		db.At(a.CreatedOn), db.At(a.ModifiedOn))
	return err
}

func saveAddress(ctx context.Context, tx *db.Tx, a *Address) error {
	_, err := tx.Exec(ctx, `UPDATE address SET name = $2, is_physical = $3, is_billing = $4, is_shipping = $5, address1 = $6, address2 = $7, zip_code = $8, city = $9,
		country = $10, modified_by = $11, modified_on = $12 WHERE id = $1`,
		a.ID, a.Name, a.Physical, a.Billing, a.Shipping, a.Address1, db.Text(a.Address2), a.ZipCode, a.City, a.Country, db.Text(a.ModifiedBy), db.At(a.ModifiedOn))
	return err
}

func removeAddress(ctx context.Context, tx *db.Tx, account, id string) error {
	_, err := tx.Exec(ctx, `DELETE FROM address WHERE id = $1 AND account = $2`, id, account)
	return err
}

const hoursColumns = `id, account, name, type, dow, time_from, time_to, created_by, modified_by, created_on, modified_on`

func scanHours(row scanner) (OfficeHours, error) {
	var h OfficeHours
	var name, by db.Text
	var from, to int64
	var created, modified db.Time
	err := row.Scan(&h.ID, &h.Account, &name, &h.Type, &h.Weekday, &from, &to, &h.CreatedBy, &by, &created, &modified)
	h.Name, h.ModifiedBy, h.CreatedOn, h.ModifiedOn = string(name), string(by), created.Time, modified.Time
	h.From, h.To = time.Duration(from)*time.Second, time.Duration(to)*time.Second
	return h, err
}

func hoursOf(ctx context.Context, q db.Querier, account, weekday string) ([]OfficeHours, error) {
	rows, err := q.Query(ctx, `SELECT `+hoursColumns+` FROM office_hours WHERE account = $1 AND ($2 = '' OR dow = $2) ORDER BY created_on DESC, id DESC`, account, weekday)
	if err != nil {
		return nil, err
	}
	return collect(rows, scanHours)
}

func hoursEntry(ctx context.Context, q db.Querier, account, id string) (OfficeHours, error) {
	h, err := scanHours(q.QueryRow(ctx, `SELECT `+hoursColumns+` FROM office_hours WHERE id = $1 AND account = $2`, id, account))
	return h, missing("Office hours", err)
}

func insertHours(ctx context.Context, tx *db.Tx, h *OfficeHours) error {
	_, err := tx.Exec(ctx, `INSERT INTO office_hours (`+hoursColumns+`) VALUES `+db.Values(1, 11),
		h.ID, h.Account, db.Text(h.Name), h.Type, h.Weekday, int64(h.From/time.Second), int64(h.To/time.Second), h.CreatedBy, db.Text(h.ModifiedBy), db.At(h.CreatedOn), db.At(h.ModifiedOn))
	return err
}

func saveHours(ctx context.Context, tx *db.Tx, h *OfficeHours) error {
	_, err := tx.Exec(ctx, `UPDATE office_hours SET name = $2, type = $3, dow = $4, time_from = $5, time_to = $6, modified_by = $7, modified_on = $8 WHERE id = $1`,
		h.ID, db.Text(h.Name), h.Type, h.Weekday, int64(h.From/time.Second), int64(h.To/time.Second), db.Text(h.ModifiedBy), db.At(h.ModifiedOn))
	return err
}

func removeHours(ctx context.Context, tx *db.Tx, account, id string) error {
	_, err := tx.Exec(ctx, `DELETE FROM office_hours WHERE id = $1 AND account = $2`, id, account)
	return err
}
