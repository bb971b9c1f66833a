package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opentact/opentact/internal/cluster"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/voice/call"
)

// Lost tells whether Run ended because this node was declared dead: a new App may take its place.
func Lost(err error) bool { return errors.Is(err, cluster.ErrLost) }

// lock keeps other servers off the data directory and off the database file, which one server can use at a time. Commands go on working beside a server.
func (a *App) lock(cfg config.Config) error {
	paths := []string{filepath.Join(cfg.Data, "lock")}
	if file, ok := strings.CutPrefix(cfg.DB, "sqlite:"); ok {
		paths = append(paths, file+".lock")
	}
	for _, path := range paths {
		unlock, err := cluster.LockFile(path)
		if err != nil {
			return errors.Join(fmt.Errorf("data of this server: %w", err), a.unlock())
		}
		a.locks = append(a.locks, unlock)
	}
	return nil
}

func (a *App) unlock() (err error) {
	for _, unlock := range slices.Backward(a.locks) {
		err = errors.Join(err, unlock())
	}
	a.locks = nil
	return err
}

// joinCluster is this node's life among the others. When they declared it dead its calls have been closed by them, so their phones are told at once.
func (a *App) joinCluster(ctx context.Context, ready func()) error {
	err := a.domains.node.Run(ctx, ready)
	if err != nil {
		a.dropCalls()
	}
	return err
}

// runCalls is the engine; a lost node lets no call go on. When the last call has ended nothing is left that operations could work with.
func (a *App) runCalls(ctx context.Context, ready func()) error {
	unfollow := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); errors.Is(cause, cluster.ErrLost) || errors.Is(cause, cluster.ErrTwin) {
			a.dropCalls()
		}
	})
	defer unfollow()
	defer a.api.Hold(true)
	return a.calls.engine.Run(ctx, ready)
}

// dropCalls hangs up whatever is live.
func (a *App) dropCalls() {
	for _, leg := range a.calls.engine.Live("") {
		if c, ok := a.calls.engine.Find(leg.ID); ok {
			c.Hangup(call.Cause{Q850: call.TemporaryFailure, Reason: "internal", By: call.ByPlatform})
		}
	}
}
