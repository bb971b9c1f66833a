// Opentact is an open telephony platform in one program: `opentact help` lists what it can do.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/opentact/opentact/internal/cli"
)

// Set by the linker.
var (
	version = "dev"
	commit  = "unknown"
	built   = "" // time of the commit
)

func main() {
	// The first signal drains, the second one ends at once.
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(1)
	}()
	err := cli.Run(ctx, cli.Program{
		Args: os.Args[1:], Env: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: version, Commit: commit, BuiltOn: built,
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "opentact: %v\n", err)
	}
	os.Exit(cli.ExitCode(err))
}
