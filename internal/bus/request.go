package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// requestTimeout ends a Request whose context has no deadline.
	requestTimeout = 5 * time.Second

	// maxAnswers run at once for one Reply; further requests wait their turn in its subscription.
	maxAnswers = 64

	// failedHeader marks the answer of a function that panicked.
	failedHeader = "Opentact-Failed"
)

// Request asks whoever replies on the subject and waits for the first answer, until ctx ends or, when ctx has no deadline, 5 seconds.
// Errors are ErrNoListener, ErrAnswer, ErrClosed, ErrTooLarge, or the context's. The request may have been acted on after any of the
// last and the context's.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if err := checkSubject(subject, false); err != nil {
		return nil, err
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	m, err := b.nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, b.known(err)
	}
	if m.Header.Get(failedHeader) != "" {
		return nil, ErrAnswer
	}
	return m.Data, nil
}

// Reply answers requests on the subject with what f returns. Up to 64 answers run at once, each on its own goroutine, so order is not
// kept; Close waits for them. A panic of f becomes ErrAnswer at the asking side.
func (b *Bus) Reply(subject string, f func(data []byte) []byte) (unsubscribe func(), err error) {
	slots := make(chan struct{}, maxAnswers)
	return b.subscribe(subject, func(m *nats.Msg) {
		slots <- struct{}{} // when full the subscription waits, and its backlog grows up to the pending limits
		b.active.Go(func() {
			defer func() { <-slots }()
			b.answer(m, f)
		})
	})
}

func (b *Bus) answer(m *nats.Msg, f func([]byte) []byte) {
	reply := nats.NewMsg(m.Reply)
	reply.Header.Set(failedHeader, "panic")
	defer func() {
		if m.Reply == "" {
			return // somebody published instead of asking
		}
		if err := m.RespondMsg(reply); err != nil {
			b.log.Warn("bus answer not sent", "subject", m.Subject, "error", err)
		}
	}()
	defer b.recovered(m.Subject)
	reply.Data = f(m.Data)
	reply.Header = nil
}
