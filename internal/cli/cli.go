package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/opentact/opentact/internal/config"
)

// Program is what a command finds around it.
type Program struct {
	Args    []string // without the program's name
	Env     []string // as os.Environ gives it
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Version string
	Commit  string
	BuiltOn string // RFC 3339
}

// Exit codes of the program.
const (
	exitOK       = 0
	exitFailed   = 1
	exitSettings = 2
)

// ExitCode is 0 without an error, 2 for a command line or settings that cannot be used, 1 otherwise.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case config.IsFault(err):
		return exitSettings
	}
	return exitFailed
}

// commands is the command line.
type commands struct {
	Serve   serveCmd   `cmd:"" help:"Run the server."`
	Migrate migrateCmd `cmd:"" help:"Bring the schema of the database up to date, or look at it."`
	User    userCmd    `cmd:"" help:"Add users and change passwords, with the server running or not."`
	Token   tokenCmd   `cmd:"" help:"Make API tokens, with the server running or not."`
	Flow    flowCmd    `cmd:"" help:"Check call-flow documents, and try them in the terminal."`
	Login   loginCmd   `cmd:"" help:"Remember a server and a token for the commands below."`
	Call    callCmd    `cmd:"" help:"Place a call that runs a call flow, and watch it."`
	SMS     smsCmd     `cmd:"" name:"sms" help:"Send messages."`
	Events  eventsCmd  `cmd:"" help:"Watch events, look at one, send them again."`
	Listen  listenCmd  `cmd:"" help:"Bring the account's events to a program on this machine, signed like webhooks."`
	Trigger triggerCmd `cmd:"" help:"Make an event reach your program: a sample, or the real thing in the sandbox."`
	Webhook webhookCmd `cmd:"" help:"Find out why a signature does not verify."`
	Doctor  doctorCmd  `cmd:"" help:"Look for what keeps the server from working well."`
	Version versionCmd `cmd:"" help:"Print version, commit and Go version."`
	Help    helpCmd    `cmd:"" help:"Explain a command."`
}

// Run reads the command line and does what it says. The error is for the operator; ctx ends when the program should stop.
func Run(ctx context.Context, p Program) error {
	if len(p.Args) == 0 {
		p.Args = []string{"--help"}
	}
	var line commands
	source, settingsErr := config.NewSource(p.Args, p.Env, config.Extra{Name: "api"}, config.Extra{Name: "token", Secret: true})
	options := []kong.Option{
		kong.Name("opentact"), kong.Description("An open telephony platform in one program: calls, messages, numbers and events over one API."),
		kong.Writers(p.Out, p.Err), kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 120}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&p),
	}
	if source != nil {
		options = append(options, source.Options()...)
	}
	helped := false
	options = append(options, kong.Exit(func(int) { helped = true }))
	parser, err := kong.New(&line, options...)
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	command, err := parser.Parse(p.Args)
	switch {
	case helped:
		return nil // kong printed the help and went on
	case err == nil && slices.Contains([]string{"version", "help"}, command.Selected().Name):
		return command.Run()
	case settingsErr != nil:
		return settingsErr
	case err != nil:
		return misuse("%s; see opentact help", config.Explain(err))
	}
	if err = command.Run(); ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errors.New("stopped before the end")
	}
	return err
}

// misuse is about a command line that cannot be run.
func misuse(format string, args ...any) error {
	return config.Faults{{Message: fmt.Sprintf(format, args...)}}
}

// helpCmd is "help COMMAND", the same as "COMMAND --help".
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"Command to explain."`
}

func (c *helpCmd) Run(ctx context.Context, p *Program) error {
	again := *p
	again.Args = append(slices.Clone(c.Command), "--help")
	return Run(ctx, again)
}

// printJSON writes v indented, as the commands' --json does.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
