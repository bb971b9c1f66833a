package phone

import (
	"context"

	"github.com/opentact/opentact/internal/rtp"
)

// Bridge lets two calls of one phone hear each other until either ends, and hangs up the other. Errors: those of rtp.Connect, the cause of ctx.
func Bridge(ctx context.Context, a, b *Call) error {
	br, err := rtp.Connect(a.stream, b.stream)
	if err != nil {
		return err
	}
	defer br.Unbridge()
	select {
	case <-a.over:
		b.hangupLike(a)
	case <-b.over:
		a.hangupLike(b)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
