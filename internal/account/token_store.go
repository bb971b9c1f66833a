package account

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
)

const tokenColumns = `id, user_id, name, prefix, last4, ttl, expired_on, scopes, last_used_on, last_used_ip, created_on, modified_on`

func scanToken(row scanner) (Token, error) {
	var t Token
	var name, ip db.Text
	var ttl int64
	var scopes db.JSON[[]string]
	var expired, used, created, modified db.Time
	if err := row.Scan(&t.ID, &t.User, &name, &t.Prefix, &t.Last4, &ttl, &expired, &scopes, &used, &ip, &created, &modified); err != nil {
		return Token{}, err
	}
	t.Name, t.LastUsedIP, t.TTL, t.Scopes = string(name), string(ip), time.Duration(ttl)*time.Second, scopes.V
	t.ExpiredOn, t.LastUsedOn, t.CreatedOn, t.ModifiedOn = expired.Time, used.Time, created.Time, modified.Time
	return t, nil
}

func insertToken(ctx context.Context, tx *db.Tx, t *Token, hash string) error {
	_, err := tx.Exec(ctx, `INSERT INTO api_token (id, user_id, name, hash, prefix, last4, ttl, expired_on, scopes, created_on, modified_on)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		t.ID, t.User, db.Text(t.Name), hash, t.Prefix, t.Last4, int64(t.TTL/time.Second), db.At(t.ExpiredOn), db.JSONOf(t.Scopes), db.At(t.CreatedOn), db.At(t.ModifiedOn))
	return err
}

func saveToken(ctx context.Context, tx *db.Tx, t *Token) error {
	_, err := tx.Exec(ctx, `UPDATE api_token SET name = $2, ttl = $3, expired_on = $4, modified_on = $5 WHERE id = $1`,
		t.ID, db.Text(t.Name), int64(t.TTL/time.Second), db.At(t.ExpiredOn), db.At(t.ModifiedOn))
	return err
}

func tokenByHash(ctx context.Context, q db.Querier, hash string, now time.Time) (Token, error) {
	t, err := scanToken(q.QueryRow(ctx, `SELECT `+tokenColumns+` FROM api_token WHERE hash = $1 AND expired_on > $2`, hash, db.At(now)))
	return t, missing("API token", err)
}

func tokenOf(ctx context.Context, q db.Querier, user, id string, now time.Time) (Token, error) {
	t, err := scanToken(q.QueryRow(ctx, `SELECT `+tokenColumns+` FROM api_token WHERE id = $1 AND user_id = $2 AND expired_on > $3`, id, user, db.At(now)))
	return t, missing("API token", err)
}

func tokensOf(ctx context.Context, q db.Querier, user string, now time.Time) ([]Token, error) {
	rows, err := q.Query(ctx, `SELECT `+tokenColumns+` FROM api_token WHERE user_id = $1 AND expired_on > $2 ORDER BY created_on DESC, id DESC`, user, db.At(now))
	if err != nil {
		return nil, err
	}
	return collect(rows, scanToken)
}

func removeToken(ctx context.Context, tx *db.Tx, user, id, hash string) (Token, error) {
	t, err := scanToken(tx.QueryRow(ctx, `DELETE FROM api_token WHERE user_id = $1 AND (id = $2 OR hash = $3) RETURNING `+tokenColumns, user, id, hash))
	return t, missing("API token", err)
}

func removeTokensOf(ctx context.Context, tx *db.Tx, user string) error {
	_, err := tx.Exec(ctx, `DELETE FROM api_token WHERE user_id = $1`, user)
	return err
}

// touchToken notes a use unless one was noted after since.
func touchToken(ctx context.Context, tx *db.Tx, id, ip string, now, since time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE api_token SET last_used_on = $2, last_used_ip = $3 WHERE id = $1 AND (last_used_on IS NULL OR last_used_on <= $4)`,
		id, db.At(now), db.Text(ip), db.At(since))
	return err
}

func revokeJTI(ctx context.Context, tx *db.Tx, jti string, until time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO revoked_jwt (jti, expired_on) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING`, jti, db.At(until))
	return err
}

func revokedJTI(ctx context.Context, q db.Querier, jti string) (bool, error) {
	var n int
	err := q.QueryRow(ctx, `SELECT COUNT(*) FROM revoked_jwt WHERE jti = $1`, jti).Scan(&n)
	return n > 0, err
}

func removeExpired(ctx context.Context, tx *db.Tx, now time.Time) (int64, error) {
	var sum int64
	for _, table := range []string{"api_token", "revoked_jwt", "password_reset", "cart_entry"} {
		n, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE expired_on <= $1`, db.At(now))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
