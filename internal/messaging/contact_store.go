package messaging

import (
	"context"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// lastContact gives the own number that last exchanged a message with a phone, or "".
func lastContact(ctx context.Context, q db.Querier, profile, far string, since time.Time) (near string, err error) {
	err = q.QueryRow(ctx, "SELECT COALESCE(max(near), '') FROM sms_contact WHERE profile = $1 AND far = $2 AND at >= $3", profile, far, since.UnixMicro()).Scan(&near)
	if err != nil {
		return "", fmt.Errorf("last contact: %w", err)
	}
	return near, nil
}

func saveContact(ctx context.Context, tx *db.Tx, profile, far, near string, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO sms_contact (profile, far, near, at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (profile, far) DO UPDATE SET near = excluded.near, at = excluded.at`, profile, far, near, at.UnixMicro())
	if err != nil {
		return fmt.Errorf("save contact: %w", err)
	}
	return nil
}

// contact is a message between a phone and an own number.
type contact struct {
	id, far, near string
	at            time.Time
}

// oldContacts gives up to n messages of a profile that were exchanged, oldest first, from behind a uuid on.
func oldContacts(ctx context.Context, q db.Querier, account, profile, after string, n int) ([]contact, error) {
	rows, err := q.Query(ctx, `SELECT uuid, CASE WHEN type = 'smsi' THEN sender ELSE recipient END, CASE WHEN type = 'smsi' THEN recipient ELSE sender END,
		COALESCE(sent_on, created_on) FROM sms WHERE account = $1 AND uuid > $2 AND profile = $3 AND (type = 'smsi' OR type = 'smso' AND sent_on IS NOT NULL)
		ORDER BY uuid`+db.Limit(n, 0), account, after, profile)
	return db.List("old contacts", rows, err, func(scan func(...any) error) (contact, error) {
		var c contact
		var far, near db.Text
		var at db.Time
		err := scan(&c.id, &far, &near, &at)
		c.far, c.near, c.at = string(far), string(near), at.Time
		return c, err
	})
}

var contactsSQL = db.NewBulk(`INSERT INTO sms_contact (profile, far, near, at) {values}
	ON CONFLICT (profile, far) DO UPDATE SET near = excluded.near, at = excluded.at WHERE excluded.at > sms_contact.at`, 0, "TEXT", "TEXT", "TEXT", "BIGINT")

// saveContacts keeps the newest contact of each phone; what is kept already may be newer.
func saveContacts(ctx context.Context, tx *db.Tx, profile string, list []contact) error {
	newest := map[string]contact{}
	for _, c := range list {
		if !c.at.Before(newest[c.far].at) {
			newest[c.far] = c
		}
	}
	args := make([]any, 0, 4*len(newest))
	for _, c := range newest {
		args = append(args, profile, c.far, c.near, c.at.UnixMicro())
	}
	if _, err := contactsSQL.Exec(ctx, tx, nil, args); err != nil {
		return fmt.Errorf("save contacts: %w", err)
	}
	return nil
}
