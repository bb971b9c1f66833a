package messaging

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/number"
)

const profileColumns = `uuid, account, name, callback_url, callback_url2, callback_secret, number_pool, long_code_weight, tollfree_weight, skip_unhealthy, sticky,
	queue_timeout, opt_out_enable, opt_out_message, opt_in_message, help_message, auto_replies, created_by, modified_by, created_on, modified_on`

func scanProfile(scan func(...any) error) (Profile, error) {
	var p Profile
	var url, url2, secret, out, in, help, by, modBy db.Text
	var seconds int64
	var replies db.JSON[[]AutoReply]
	var created, modified db.Time
	err := scan(&p.ID, &p.Account, &p.Name, &url, &url2, &secret, &p.Pool, &p.LongCodeWeight, &p.TollFreeWeight, &p.SkipUnhealthy, &p.Sticky,
		&seconds, &p.OptOutEnable, &out, &in, &help, &replies, &by, &modBy, &created, &modified)
	p.CallbackURL, p.CallbackURL2, p.CallbackSecret = string(url), string(url2), string(secret)
	p.OptOutMessage, p.OptInMessage, p.HelpMessage = string(out), string(in), string(help)
	p.QueueTimeout, p.AutoReplies = time.Duration(seconds)*time.Second, replies.V
	p.CreatedBy, p.ModifiedBy, p.Created, p.Modified = string(by), string(modBy), created.Time, modified.Time
	return p, err
}

func insertProfile(ctx context.Context, tx *db.Tx, p Profile) error {
	_, err := tx.Exec(ctx, "INSERT INTO messaging_profile ("+profileColumns+") VALUES "+db.Values(1, 21),
		p.ID, p.Account, p.Name, db.Text(p.CallbackURL), db.Text(p.CallbackURL2), db.Text(p.CallbackSecret), p.Pool, p.LongCodeWeight, p.TollFreeWeight, p.SkipUnhealthy, p.Sticky,
		int64(p.QueueTimeout/time.Second), p.OptOutEnable, db.Text(p.OptOutMessage), db.Text(p.OptInMessage), db.Text(p.HelpMessage), db.JSONOf(p.AutoReplies),
		db.Text(p.CreatedBy), db.Text(p.ModifiedBy), db.At(p.Created), db.At(p.Modified))
	if err != nil {
		return fmt.Errorf("insert messaging profile: %w", err)
	}
	return nil
}

func updateProfile(ctx context.Context, tx *db.Tx, p Profile) error {
	_, err := tx.Exec(ctx, `UPDATE messaging_profile SET name = $2, callback_url = $3, callback_url2 = $4, callback_secret = $5, number_pool = $6, long_code_weight = $7,
		tollfree_weight = $8, skip_unhealthy = $9, sticky = $10, queue_timeout = $11, opt_out_enable = $12, opt_out_message = $13, opt_in_message = $14, help_message = $15,
		auto_replies = $16, modified_by = $17, modified_on = $18 WHERE uuid = $1`,
		p.ID, p.Name, db.Text(p.CallbackURL), db.Text(p.CallbackURL2), db.Text(p.CallbackSecret), p.Pool, p.LongCodeWeight, p.TollFreeWeight, p.SkipUnhealthy, p.Sticky,
		int64(p.QueueTimeout/time.Second), p.OptOutEnable, db.Text(p.OptOutMessage), db.Text(p.OptInMessage), db.Text(p.HelpMessage), db.JSONOf(p.AutoReplies), db.Text(p.ModifiedBy), db.At(p.Modified))
	if err != nil {
		return fmt.Errorf("update messaging profile: %w", err)
	}
	return nil
}

func deleteProfile(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM messaging_profile WHERE uuid = $1", id); err != nil {
		return fmt.Errorf("delete messaging profile: %w", err)
	}
	return nil
}

func loadProfile(ctx context.Context, q db.Querier, account, id string) (Profile, error) {
	p, err := scanProfile(q.QueryRow(ctx, "SELECT "+profileColumns+" FROM messaging_profile WHERE uuid = $1 AND account = $2", id, account).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Profile{}, fault.Missing("Messaging profile")
	}
	if err != nil {
		return Profile{}, fmt.Errorf("messaging profile: %w", err)
	}
	return p, nil
}

func listProfiles(ctx context.Context, q db.Querier, account string) ([]Profile, error) {
	rows, err := q.Query(ctx, "SELECT "+profileColumns+" FROM messaging_profile WHERE account = $1 ORDER BY created_on, uuid", account)
	return db.List("messaging profiles", rows, err, scanProfile)
}

// moveLeases ties the numbers of one profile to another.
func (s *Service) moveLeases(ctx context.Context, account, from, to string) error {
	list, err := s.numbers.ByProfile(ctx, s.db.Read(), account, from)
	if err != nil {
		return err
	}
	for _, l := range list {
		if _, err := s.numbers.Modify(ctx, number.By{Account: account}, l.ID, number.Change{Profile: &to}); err != nil {
			return err
		}
	}
	return nil
}
