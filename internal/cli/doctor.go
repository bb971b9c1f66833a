package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/config"
)

// Limits of the doctor.
const (
	probeTimeout  = 3 * time.Second  // one question to a network or a database
	speechTimeout = 20 * time.Second // all engines; pocketsphinx loads a model
	diskLow       = 1 << 30          // bytes: below is red
	diskScarce    = 5 << 30          // below is yellow
	filesLow      = 1024             // open files: below is red
	filesScarce   = 8192             // below is yellow: a call takes up to six sockets
	udpBuffer     = 1 << 20          // bytes that the kernel should allow for one socket
	mediaSamples  = 8                // ports of the media range that are tried
	certSoon      = 14 * 24 * time.Hour
)

// State is the colour of a check.
type State string

// The colours: green works, yellow works with a limit worth knowing, red does not work.
const (
	Green  State = "green"
	Yellow State = "yellow"
	Red    State = "red"
)

// Check is one row of the doctor's table.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do; empty when green
}

func green(name, format string, args ...any) Check {
	return Check{Name: name, State: Green, Detail: fmt.Sprintf(format, args...)}
}

func yellow(name, detail, fix string) Check { return Check{name, Yellow, detail, fix} }

func red(name, detail, fix string) Check { return Check{name, Red, detail, fix} }

// doctorCmd looks at the machine with the settings that serve would get.
type doctorCmd struct {
	JSON          bool `name:"json" help:"Print JSON."`
	config.Config `embed:"" group:"Settings of the server"`
}

func (c *doctorCmd) Run(ctx context.Context, p *Program) error {
	if err := c.Finish(); err != nil {
		return err
	}
	checks := examine(ctx, c.Config)
	var err error
	if c.JSON {
		err = printJSON(p.Out, checks)
	} else {
		err = printChecks(p.Out, checks, colourful(p))
	}
	if err != nil {
		return err
	}
	bad := 0
	for _, x := range checks {
		if x.State == Red {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d checks are red; the fix stands below each", bad, len(checks))
	}
	return nil
}

// examine makes all checks, in the order in which a call meets what they are about.
func examine(ctx context.Context, cfg config.Config) []Check {
	running := runningServer(ctx, cfg)
	var out []Check
	for _, look := range []func() []Check{
		func() []Check { return checkHTTP(ctx, cfg, running) },
		func() []Check { return checkSIP(ctx, cfg, running) },
		func() []Check { return checkMedia(cfg) },
		func() []Check { return checkPublicIP(cfg) },
		func() []Check { return checkDNS(ctx, cfg) },
		checkClock,
		func() []Check { return checkSpeech(ctx, cfg) },
		checkPrograms,
		func() []Check { return checkDatabase(ctx, cfg, slog.New(slog.DiscardHandler)) },
		func() []Check { return checkBlob(cfg) },
		func() []Check { return checkBus(ctx, cfg) },
		func() []Check { return checkDisk(cfg) },
		checkFiles,
		checkUDPBuffers,
	} {
		out = append(out, look()...)
	}
	return out
}

// paint gives the colours of a terminal (ECMA-48 SGR).
var paint = map[State]string{Green: "\x1b[32m", Yellow: "\x1b[33m", Red: "\x1b[31m"}

func colourful(p *Program) bool {
	f, ok := p.Out.(*os.File)
	if !ok || lookup(p.Env, "NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func printChecks(w io.Writer, checks []Check, colour bool) error {
	width := 0
	for _, c := range checks {
		width = max(width, len(c.Name))
	}
	var b strings.Builder
	for _, c := range checks {
		word := fmt.Sprintf("%-6s", c.State)
		if colour {
			word = paint[c.State] + word + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s  %-*s  %s\n", word, width, c.Name, c.Detail)
		if c.Fix != "" {
			fmt.Fprintf(&b, "        %-*s  → %s\n", width, "", c.Fix)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
