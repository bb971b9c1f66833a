package account

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
)

const accountColumns = `a.id, a.name, a.email, a.phone, a.address1, a.address2, a.zip_code, a.city, a.time_zone, a.level, a.profile_default, a.limits, a.countries,
	a.created_on, a.modified_on, a.disabled_on, a.deleted_on, (SELECT u.id FROM account_user u WHERE u.account = a.id AND u.admin)`

// scanner is a row of either kind.
type scanner interface{ Scan(dest ...any) error }

func scanAccount(row scanner) (Account, error) {
	var a Account
	var phone, address1, address2, zip, city, zone, profile, admin db.Text
	var limits db.JSON[*Limits]
	var countries db.JSON[*Countries]
	var created, modified, disabled, deleted db.Time
	err := row.Scan(&a.ID, &a.Name, &a.Email, &phone, &address1, &address2, &zip, &city, &zone, &a.Level, &profile, &limits, &countries,
		&created, &modified, &disabled, &deleted, &admin)
	if err != nil {
		return Account{}, err
	}
	a.Phone, a.Address1, a.Address2, a.ZipCode, a.City = e164.Number(phone), string(address1), string(address2), string(zip), string(city)
	a.TimeZone, a.DefaultProfile, a.Admin = string(zone), string(profile), string(admin)
	a.CreatedOn, a.ModifiedOn, a.DisabledOn, a.DeletedOn = created.Time, modified.Time, disabled.Time, deleted.Time
	a.OwnLimits = limits.V
	a.Countries = defaultCountries()
	if countries.V != nil {
		a.Countries = *countries.V
	}
	a.settle()
	return a, nil
}

func loadAccount(ctx context.Context, q db.Querier, id string) (Account, error) {
	a, err := scanAccount(q.QueryRow(ctx, `SELECT `+accountColumns+` FROM account a WHERE a.id = $1`, id))
	return a, missing("Account", err)
}

// missing gives "no rows" its public meaning.
func missing(entity string, err error) error {
	switch {
	case !errors.Is(err, sql.ErrNoRows):
		return err
	case entity == "":
		return fault.New(fault.NotFound)
	}
	return fault.Missing(entity)
}

// lockAccount reads an account that will be changed.
func lockAccount(ctx context.Context, tx *db.Tx, id string) (Account, error) {
	var found string
	if err := tx.QueryRow(ctx, `SELECT id FROM account WHERE id = $1`+tx.ForUpdate(), id).Scan(&found); err != nil {
		return Account{}, missing("Account", err)
	}
	return loadAccount(ctx, tx, id)
}

func insertAccount(ctx context.Context, tx *db.Tx, a *Account) error {
	_, err := tx.Exec(ctx, `INSERT INTO account (id, name, email, level, created_on, modified_on) VALUES ($1, $2, $3, $4, $5, $6)`,
		a.ID, a.Name, a.Email, string(a.Level), db.At(a.CreatedOn), db.At(a.ModifiedOn))
	return err
}

func saveAccount(ctx context.Context, tx *db.Tx, a *Account) error {
	_, err := tx.Exec(ctx, `UPDATE account SET name = $2, email = $3, phone = $4, address1 = $5, address2 = $6, zip_code = $7, city = $8, time_zone = $9,
		level = $10, profile_default = $11, limits = $12, countries = $13, modified_on = $14, disabled_on = $15, deleted_on = $16 WHERE id = $1`,
		a.ID, a.Name, a.Email, db.Text(a.Phone), db.Text(a.Address1), db.Text(a.Address2), db.Text(a.ZipCode), db.Text(a.City), db.Text(a.TimeZone),
		string(a.Level), db.Text(a.DefaultProfile), db.JSONOf(a.OwnLimits), db.JSONOf(a.Countries), db.At(a.ModifiedOn), db.At(a.DisabledOn), db.At(a.DeletedOn))
	return err
}

func setDefaultProfile(ctx context.Context, tx *db.Tx, account, profile string, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE account SET profile_default = $2, modified_on = $3 WHERE id = $1`, account, db.Text(profile), db.At(now))
	return err
}

// defaultProfile reads the uuid of the default messaging profile; suffix may lock the account's row.
func defaultProfile(ctx context.Context, q db.Querier, account, suffix string) (string, error) {
	var id db.Text
	err := q.QueryRow(ctx, `SELECT profile_default FROM account WHERE id = $1`+suffix, account).Scan(&id)
	if err != nil {
		return "", missing("Account", err)
	}
	return string(id), nil
}

func raiseLevel(ctx context.Context, tx *db.Tx, account string, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE account SET level = 'Level1', modified_on = $2 WHERE id = $1 AND level = 'Level0'`, account, db.At(now))
	return err
}

// Filter selects accounts for the operator; empty members select everything.
type Filter struct {
	Name, Email, Level       string // masks, but the level
	Disabled                 *bool
	CreatedFrom, CreatedTo   time.Time
	ModifiedFrom, ModifiedTo time.Time
	Or                       bool
	Order                    []Order
	Take, Skip               int
}

// Order is one column of an order: name, email, level, created_on or modified_on.
type Order struct {
	Column string
	Desc   bool
}

// orderBy writes the order; columns that are none of the known are left out. The id makes it total.
func orderBy(list []Order) string {
	out := ""
	for _, o := range list {
		if !slices.Contains([]string{"name", "email", "level", "created_on", "modified_on"}, o.Column) {
			continue
		}
		out += "a." + o.Column
		if o.Desc {
			out += " DESC"
		}
		out += ", "
	}
	return " ORDER BY " + out + "a.id"
}

func searchAccounts(ctx context.Context, q db.Querier, f Filter) (out []Account, total int, err error) {
	w := db.Where{Or: f.Or}
	if f.Name != "" {
		w.Mask("a.name", f.Name)
	}
	if f.Email != "" {
		w.Mask("a.email", f.Email)
	}
	if f.Level != "" {
		w.Add("a.level = ?", f.Level)
	}
	switch {
	case f.Disabled == nil:
	case *f.Disabled:
		w.Add("a.disabled_on IS NOT NULL")
	default:
		w.Add("a.disabled_on IS NULL")
	}
	w.Between("a.created_on", f.CreatedFrom, f.CreatedTo)
	w.Between("a.modified_on", f.ModifiedFrom, f.ModifiedTo)
	where, args := w.SQL()
	if err := q.QueryRow(ctx, `SELECT COUNT(*) FROM account a`+where, args...).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := q.Query(ctx, `SELECT `+accountColumns+` FROM account a`+where+orderBy(f.Order)+db.Limit(f.Take, f.Skip), args...)
	if err != nil {
		return nil, 0, err
	}
	out, err = collect(rows, scanAccount)
	return out, total, err
}

// collect reads all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(scanner) (T, error)) ([]T, error) {
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// notification reads the stored settings of an account; nil means the defaults.
func notification(ctx context.Context, q db.Querier, account string) (*Notification, error) {
	var n db.JSON[*Notification]
	err := q.QueryRow(ctx, `SELECT notification FROM account WHERE id = $1`, account).Scan(&n)
	return n.V, missing("Account", err)
}

func saveNotification(ctx context.Context, tx *db.Tx, account string, n Notification) error {
	_, err := tx.Exec(ctx, `UPDATE account SET notification = $2 WHERE id = $1`, account, db.JSONOf(n))
	return err
}

// keepSetting writes a fact of the installation unless it is there, and gives what is there. mine tells that this call wrote it.
func keepSetting(ctx context.Context, tx *db.Tx, name, value string, now time.Time) (kept string, mine bool, err error) {
	n, err := tx.Exec(ctx, `INSERT INTO setting (name, value, modified_on) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING`, name, value, db.At(now))
	if err != nil {
		return "", false, err
	}
	err = tx.QueryRow(ctx, `SELECT value FROM setting WHERE name = $1`, name).Scan(&kept)
	return kept, n == 1, err
}
