package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
)

// serveHTTP serves from the first stage to the end of the last: health, metrics and version always, operations when takeWork lets them in.
func (a *App) serveHTTP(ctx context.Context, ready func()) error {
	srv := a.newServer(a.api.Handler())
	done := make(chan error, 2) // each server sends once
	running := []*http.Server{srv}
	if a.tls.http == nil {
		go func() { done <- srv.Serve(a.ln) }()
	} else {
		split := newSplitter(a.ln)
		var accepting sync.WaitGroup
		accepting.Go(split.run)
		defer accepting.Wait()
		defer split.close()
		srv.TLSConfig = a.tls.http
		plain := a.newServer(a.api.RedirectToTLS())
		running = append(running, plain)
		go func() { done <- srv.ServeTLS(split.tls, "", "") }()
		go func() { done <- plain.Serve(split.plain) }()
	}
	ready()
	var err error
	left := len(running)
	select {
	case err = <-done:
		err = fmt.Errorf("http: %w", err)
		left--
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpDrain)
	defer cancel()
	for _, s := range running {
		if stopped := s.Shutdown(last); errors.Is(stopped, context.DeadlineExceeded) {
			_ = s.Close() // what is cut off has had its time
		}
	}
	for range left {
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}
	return err
}

// newServer has the limits of every server, and writes its own words into the log as the others do.
func (a *App) newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
}

// takeWork lets new work in when every part before it is ready. When ctx ends it refuses new work, over HTTP and SIP, and waits for the operations that were let
// in; calls and the commands to them go on (runCalls).
func (a *App) takeWork(ctx context.Context, ready func()) error {
	a.api.Hold(false)
	a.calls.sip.Refuse(false)
	ready()
	<-ctx.Done()
	a.calls.sip.Refuse(true)
	a.api.Drain(true)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpDrain)
	defer cancel()
	if err := a.api.Settle(last); err != nil {
		a.log.Warn("operations still run", "error", err)
	}
	return nil
}
