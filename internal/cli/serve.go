package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"

	"github.com/opentact/opentact/internal/app"
	"github.com/opentact/opentact/internal/cluster"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/obs"
)

// serveCmd runs the server until ctx ends, then drains it; one that the other nodes declared dead starts anew in the same process.
type serveCmd struct {
	config.Config `embed:""`
}

func (c *serveCmd) Run(ctx context.Context, p *Program) error {
	log, err := open(&c.Config, p.Err)
	if err != nil {
		return err
	}
	for {
		err = c.once(ctx, p, log)
		if ctx.Err() != nil && (errors.Is(err, context.Canceled) || app.Lost(err)) {
			return nil
		}
		if !app.Lost(err) {
			return withFix(err)
		}
		log.Warn("the other nodes took this one for dead: it starts anew", "error", err)
	}
}

// once is the server from its start to its end.
func (c *serveCmd) once(ctx context.Context, p *Program, log *slog.Logger) error {
	server, err := app.New(ctx, c.Config, app.Build{Version: p.Version, Commit: p.Commit, BuiltOn: p.BuiltOn}, p.Out, log)
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

// open checks the settings and makes the logger.
func open(c *config.Config, w io.Writer) (*slog.Logger, error) {
	if err := c.Finish(); err != nil {
		return nil, err
	}
	return obs.NewLogger(obs.LogOptions{Writer: w, Level: c.LogLevel, Format: c.LogFormat})
}

// withFix adds what to do about the usual reasons for which a server does not start.
func withFix(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: stop the program that has it, or choose others with --http-addr and --sip-addr", err)
	case errors.Is(err, cluster.ErrHeld):
		return fmt.Errorf("%w: stop it, or give this server a --data and a --db of its own", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: give the user of the server the right, or choose another --data or address", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine does not have the address, see opentact doctor", err)
	}
	return err
}
