package account

import (
	"context"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

const userColumns = `id, account, admin, email, role, phone_number, first_name, last_name, gender, dob, avatar,
	gmail_user_id, facebook_user_id, apple_user_id, wechat_user_id, created_on, modified_on, deleted_on, password, session,
	EXISTS (SELECT 1 FROM account_socket WHERE account_socket.user_id = account_user.id)`

func scanUser(row scanner) (User, error) {
	var u User
	var phone, first, last, gender, avatar, gmail, facebook, apple, wechat db.Text
	var dob, created, modified, deleted db.Time
	err := row.Scan(&u.ID, &u.Account, &u.Admin, &u.Email, &u.Role, &phone, &first, &last, &gender, &dob, &avatar,
		&gmail, &facebook, &apple, &wechat, &created, &modified, &deleted, &u.password, &u.session, &u.Online)
	if err != nil {
		return User{}, err
	}
	u.PhoneNumber, u.FirstName, u.LastName, u.Gender, u.Avatar = string(phone), string(first), string(last), string(gender), string(avatar)
	u.GmailUserID, u.FacebookUserID, u.AppleUserID, u.WechatUserID = string(gmail), string(facebook), string(apple), string(wechat)
	u.DOB, u.CreatedOn, u.ModifiedOn, u.DeletedOn = dob.Time, created.Time, modified.Time, deleted.Time
	return u, nil
}

func loadUser(ctx context.Context, q db.Querier, id string) (User, error) {
	u, err := scanUser(q.QueryRow(ctx, `SELECT `+userColumns+` FROM account_user WHERE id = $1`, id))
	return u, missing("User", err)
}

// firstUser is the first administrator, whom firstSetting names.
func firstUser(ctx context.Context, q db.Querier) (User, error) {
	u, err := scanUser(q.QueryRow(ctx, `SELECT `+userColumns+` FROM account_user WHERE id = (SELECT value FROM setting WHERE name = $1)`, firstSetting))
	return u, missing("User", err)
}

func userByEmail(ctx context.Context, q db.Querier, email string) (User, error) {
	u, err := scanUser(q.QueryRow(ctx, `SELECT `+userColumns+` FROM account_user WHERE email_key = $1`, emailKey(email)))
	return u, missing("User", err)
}

func emailKey(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// userBySocial finds by the provider's id; column is one of the four _user_id columns.
func userBySocial(ctx context.Context, q db.Querier, column, id string) (User, error) {
	u, err := scanUser(q.QueryRow(ctx, `SELECT `+userColumns+` FROM account_user WHERE `+column+` = $1`, id))
	return u, missing("User", err)
}

func usersOf(ctx context.Context, q db.Querier, account string) ([]User, error) {
	rows, err := q.Query(ctx, `SELECT `+userColumns+` FROM account_user WHERE account = $1 ORDER BY created_on DESC, id DESC`, account)
	if err != nil {
		return nil, err
	}
	return collect(rows, scanUser)
}

// lockUser reads a user that will be changed, its account's row being locked first.
func lockUser(ctx context.Context, tx *db.Tx, id string) (User, error) {
	u, err := loadUser(ctx, tx, id)
	if err != nil {
		return User{}, err
	}
	if _, err := lockAccount(ctx, tx, u.Account); err != nil {
		return User{}, err
	}
	return loadUser(ctx, tx, id)
}

func insertUser(ctx context.Context, tx *db.Tx, u *User) error {
	_, err := tx.Exec(ctx, `INSERT INTO account_user (id, account, admin, email, role, phone_number, first_name, last_name, gender, dob, avatar,
		gmail_user_id, facebook_user_id, created_on, modified_on, password, session, email_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		u.ID, u.Account, u.Admin, u.Email, string(u.Role), db.Text(u.PhoneNumber), db.Text(u.FirstName), db.Text(u.LastName), db.Text(u.Gender), db.At(u.DOB), db.Text(u.Avatar),
		db.Text(u.GmailUserID), db.Text(u.FacebookUserID), db.At(u.CreatedOn), db.At(u.ModifiedOn), u.password, u.session, emailKey(u.Email))
	return taken(err)
}

// taken gives a doubled e-mail its public meaning.
func taken(err error) error {
	if !db.IsUnique(err) {
		return err
	}
	e := fault.Taken("User")
	e.Cause = err
	return e
}

func saveUser(ctx context.Context, tx *db.Tx, u *User) error {
	_, err := tx.Exec(ctx, `UPDATE account_user SET email = $2, email_key = $3, role = $4, phone_number = $5, first_name = $6, last_name = $7, gender = $8, dob = $9,
		avatar = $10, gmail_user_id = $11, facebook_user_id = $12, modified_on = $13, deleted_on = $14, password = $15, session = $16 WHERE id = $1`,
		u.ID, u.Email, emailKey(u.Email), string(u.Role), db.Text(u.PhoneNumber), db.Text(u.FirstName), db.Text(u.LastName), db.Text(u.Gender), db.At(u.DOB),
		db.Text(u.Avatar), db.Text(u.GmailUserID), db.Text(u.FacebookUserID), db.At(u.ModifiedOn), db.At(u.DeletedOn), u.password, u.session)
	return taken(err)
}

// otherOperators counts the active users of role Admin beside one.
func otherOperators(ctx context.Context, q db.Querier, id string) (n int, err error) {
	err = q.QueryRow(ctx, `SELECT COUNT(*) FROM account_user WHERE role = 'Admin' AND deleted_on IS NULL AND id <> $1`, id).Scan(&n)
	return n, err
}

// anyUser tells whether the database has a user at all.
func anyUser(ctx context.Context, q db.Querier) (bool, error) {
	var n int
	err := q.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT 1 AS one FROM account_user LIMIT 1) AS u`).Scan(&n)
	return n > 0, err
}

func insertReset(ctx context.Context, tx *db.Tx, hash, user string, now, until time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO password_reset (hash, user_id, created_on, expired_on) VALUES ($1, $2, $3, $4)`, hash, user, db.At(now), db.At(until))
	return err
}

// resetsSince counts the requests of a user after a moment, and gives the oldest and the newest.
func resetsSince(ctx context.Context, q db.Querier, user string, since time.Time) (n int, oldest, newest time.Time, err error) {
	var first, last db.Time
	err = q.QueryRow(ctx, `SELECT COUNT(*), MIN(created_on), MAX(created_on) FROM password_reset WHERE user_id = $1 AND created_on > $2`, user, db.At(since)).
		Scan(&n, &first, &last)
	return n, first.Time, last.Time, err
}

// useReset marks a token used; fault.NotFound when it is no longer good.
func useReset(ctx context.Context, tx *db.Tx, hash string, now time.Time) error {
	n, err := tx.Exec(ctx, `UPDATE password_reset SET used_on = $2 WHERE hash = $1 AND used_on IS NULL AND expired_on > $2`, hash, db.At(now))
	if err == nil && n == 0 {
		return fault.New(fault.NotFound)
	}
	return err
}

// endResets makes the other tokens of a user useless.
func endResets(ctx context.Context, tx *db.Tx, user string, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE password_reset SET used_on = $2 WHERE user_id = $1 AND used_on IS NULL`, user, db.At(now))
	return err
}

// resetUser tells whose token it is, when it is good.
func resetUser(ctx context.Context, q db.Querier, hash string, now time.Time) (user string, err error) {
	err = q.QueryRow(ctx, `SELECT user_id FROM password_reset WHERE hash = $1 AND used_on IS NULL AND expired_on > $2`, hash, db.At(now)).Scan(&user)
	return user, missing("", err)
}
