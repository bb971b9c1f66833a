package messaging

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/jobs"
)

// contactQueue is the queue of jobs that look for the contacts of the time before a profile's sticky_sender was switched on.
const contactQueue = "messaging.contacts"

// contactPage is how many messages such a job reads in one transaction.
const contactPage = 1000

// noteContacts remembers who talked with whom, for profiles with sticky senders.
func (s *Service) noteContacts(ctx context.Context, tx *db.Tx, list []*Message) error {
	for _, m := range list {
		if err := s.noteContact(ctx, tx, m, m.To, m.From); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) noteContact(ctx context.Context, tx *db.Tx, m *Message, far, near string) error {
	p, err := s.cachedProfile(ctx, m.Account, m.Profile)
	if err != nil || p == nil || !p.Sticky {
		return err
	}
	return saveContact(ctx, tx, p.ID, far, near, m.Modified)
}

// contactsOf is the work of a job: the profile's messages behind a uuid.
type contactsOf struct {
	Account string `json:"account"`
	Profile string `json:"profile"`
	After   string `json:"after"`
}

// findContacts lets a job look for the contacts of stickyFor that nobody noted while the profile's senders were not sticky. It waits until all nodes know
// the profile as it is now and note new ones.
func (s *Service) findContacts(ctx context.Context, tx *db.Tx, p *Profile) error {
	work := contactsOf{Account: p.Account, Profile: p.ID, After: firstID(s.now().Add(-stickyFor))}
	_, err := s.jobs.Enqueue(ctx, tx, jobs.New{Queue: contactQueue, Order: p.ID, RunAt: s.now().Add(2 * factsFor), Payload: work})
	return err
}

// contactsJob notes a page of contacts and leaves the next one to another job.
func (s *Service) contactsJob(ctx context.Context, j jobs.Job) jobs.Outcome {
	var work contactsOf
	if err := j.Decode(&work); err != nil {
		s.log.Error("old contacts", "error", err)
		return jobs.Finished()
	}
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		list, err := oldContacts(ctx, tx, work.Account, work.Profile, work.After, contactPage)
		if err != nil {
			return err
		}
		if err := saveContacts(ctx, tx, work.Profile, list); err != nil {
			return err
		}
		if len(list) == contactPage {
			rest := work // this function may run again
			rest.After = list[len(list)-1].id
			if _, err := s.jobs.Enqueue(ctx, tx, jobs.New{Queue: contactQueue, Order: work.Profile, Payload: rest}); err != nil {
				return err
			}
		}
		return jobs.Done(ctx, tx, j.ID)
	})
	if err != nil {
		return jobs.Again(s.now().Add(5*time.Second), err)
	}
	return jobs.Kept()
}
