package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"

	"github.com/opentact/opentact/internal/app"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/obs"
)

// serveCmd runs the server until ctx ends, then drains it.
type serveCmd struct {
	config.Config `embed:""`
}

func (c *serveCmd) Run(ctx context.Context, p *Program) error {
	log, err := open(&c.Config, p.Err)
	if err != nil {
		return err
	}
	server, err := app.New(ctx, c.Config, app.Build{Version: p.Version, Commit: p.Commit}, p.Out, log)
	if err == nil {
		err = server.Run(ctx)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return withFix(err)
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
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: give the user of the server the right, or choose another --data or address", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine does not have the address, see opentact doctor", err)
	}
	return err
}
