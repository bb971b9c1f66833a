package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/opentact/opentact/internal/money"
)

// Config is every setting of the server. Embedded in a kong command it gives that command its flags.
type Config struct {
	File string `name:"config" placeholder:"FILE" help:"Settings file (YAML). Default: opentact.yaml, if there is one."`

	Data string `default:"./data" help:"Directory of everything durable in the embedded default."`
	DB   string `name:"db" secret:"url" placeholder:"URL" help:"Database: sqlite:FILE or postgres://… Default: sqlite:<data>/opentact.db."`
	Blob string `secret:"url" placeholder:"URL" help:"Recordings and media: file:DIR. Default: file:<data>/media."`
	Bus  string `default:"embedded" secret:"url" help:"Bus between nodes: embedded, or nats://host:4222,…"`

	HTTPAddr    string `name:"http-addr" default:"127.0.0.1:8080" help:"Address of REST, websocket and console."`
	HTTPTLSCert string `name:"http-tls-cert" placeholder:"FILE" help:"Certificate (PEM) that turns on TLS on the HTTP address."`
	HTTPTLSKey  string `name:"http-tls-key" placeholder:"FILE" help:"Its key (PEM)."`

	SIPAddr    []string  `name:"sip-addr" default:"127.0.0.1:5060" help:"SIP addresses for UDP and TCP, comma separated."`
	SIPTLSAddr string    `name:"sip-tls-addr" placeholder:"ADDR" help:"SIP address for TLS."`
	SIPTLSCert string    `name:"sip-tls-cert" placeholder:"FILE" help:"Certificate (PEM) of the SIP TLS address."`
	SIPTLSKey  string    `name:"sip-tls-key" placeholder:"FILE" help:"Its key (PEM)."`
	PublicIP   string    `name:"public-ip" default:"auto" help:"IP address put in Contact and SDP."`
	RTPPorts   PortRange `name:"rtp-ports" default:"20000-29999" help:"UDP ports for media."`
	Domain     string    `default:"sip.localhost" help:"Base of SIP domains: NAME.BASE."`

	APIURL        string       `name:"api-url" placeholder:"URL" help:"Base of absolute URLs in answers. Default: from --http-addr."`
	AdminEmail    string       `default:"admin@localhost" help:"First administrator, made when the database is empty."`
	AdminPassword string       `secret:"all" placeholder:"TEXT" help:"Its password. Default: generated."`
	AdminToken    string       `secret:"all" placeholder:"TEXT" help:"Its API token. Default: generated."`
	SandboxCredit money.Amount `default:"100.00" help:"Opening balance of new accounts while the sandbox is on."`
	Sandbox       bool         `default:"true" negatable:"" help:"The sandbox carrier for voice and messages."`

	RateLimit        int           `name:"rate-limit" default:"50" help:"Requests per second of an account, in the long run."`
	RateBurst        int           `name:"rate-burst" default:"100" help:"Requests of an account that may come at once."`
	AllowPrivateURLs bool          `name:"allow-private-urls" negatable:"" help:"Let customers' URLs reach loopback and private addresses."`
	SpeechTTS        string        `name:"speech-tts" default:"espeak" help:"Default text-to-speech engine, or none."`
	SpeechSTT        string        `name:"speech-stt" default:"pocketsphinx" help:"Default speech recognition engine, or none."`
	EventRetention   time.Duration `default:"168h" help:"Time that events are kept in the log, to be resumed from."`
	Drain            time.Duration `default:"30s" help:"Time that calls get to end at shutdown."`
	LogLevel         string        `default:"info" help:"trace, debug, info, warn or error."`
	LogFormat        string        `default:"auto" help:"text, json, or auto: text on a terminal."`
	Migrate          bool          `default:"true" negatable:"" help:"Bring the database schema up to date at start."`
}

// PortRange is an inclusive range of UDP ports, written "20000-29999".
type PortRange struct{ First, Last uint16 }

// UnmarshalText reads "FIRST-LAST".
func (r *PortRange) UnmarshalText(b []byte) error {
	first, last, ok := strings.Cut(string(b), "-")
	lo, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	hi, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return fmt.Errorf("%q is not a range of ports like 20000-29999", b)
	}
	*r = PortRange{uint16(lo), uint16(hi)}
	return nil
}

// String is the form that UnmarshalText reads.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// Size is how many ports the range holds.
func (r PortRange) Size() int { return int(r.Last) - int(r.First) + 1 }

// Load reads the settings of a program that has these flags only: args without the program's name, env as os.Environ gives it. The
// error is for the operator: it names each bad key, one a line.
func Load(args, env []string) (Config, error) {
	var c Config
	source, err := NewSource(args, env)
	if err != nil {
		return c, err
	}
	options := append(source.Options(), kong.Name("opentact"), kong.NoDefaultHelp(), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	parser, err := kong.New(&c, options...)
	if err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	if _, err := parser.Parse(args); err != nil {
		return c, Faults{{Message: Explain(err)}}
	}
	return c, c.Finish()
}

// String lists the settings by flag name, one a line, with secrets blanked.
func (c Config) String() string {
	var b strings.Builder
	for _, s := range settings() {
		fmt.Fprintf(&b, "%s=%s\n", s.name, s.shown(reflect.ValueOf(c).Field(s.index)))
	}
	return b.String()
}

// LogValue is String for structured logs.
func (c Config) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, s := range settings() {
		attrs = append(attrs, slog.String(s.name, s.shown(reflect.ValueOf(c).Field(s.index))))
	}
	return slog.GroupValue(attrs...)
}

// GoString keeps secrets out of %#v.
func (c Config) GoString() string { return "config.Config{\n" + c.String() + "}" }

// shown is the value of a setting as operators may see it.
func (s setting) shown(v reflect.Value) string {
	var text string
	if list, ok := v.Interface().([]string); ok {
		text = strings.Join(list, ",")
	} else {
		text = fmt.Sprint(v.Interface())
	}
	switch {
	case text == "":
		return ""
	case s.secret == "all":
		return "***"
	case s.secret == "url":
		return redactURLs(text)
	}
	return text
}

// redactURLs blanks the passwords, and all parameters, of comma separated URLs.
func redactURLs(text string) string {
	parts := strings.Split(text, ",")
	for i, p := range parts {
		if !strings.Contains(p, "://") && !strings.ContainsAny(p, "@?") {
			continue
		}
		u, err := url.Parse(p)
		if err != nil || u.Opaque != "" && strings.Contains(u.Opaque, "@") {
			parts[i] = "***"
			continue
		}
		if u.RawQuery != "" {
			u.RawQuery = "***"
		}
		parts[i] = strings.ReplaceAll(u.Redacted(), "xxxxx", "***")
	}
	return strings.Join(parts, ",")
}

// Fault is one thing wrong with the settings.
type Fault struct {
	Key     string // where the value came from: a flag, an environment variable, or a key of the file
	Message string
}

// Faults are all things wrong with the settings.
type Faults []Fault

// Error is one line for each fault.
func (f Faults) Error() string {
	var lines []string
	for _, x := range f {
		if x.Key != "" {
			x.Message = x.Key + ": " + x.Message
		}
		lines = append(lines, x.Message)
	}
	return strings.Join(lines, "\n")
}

func (f *Faults) add(key, format string, args ...any) {
	*f = append(*f, Fault{key, fmt.Sprintf(format, args...)})
}

func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// IsFault tells whether err is about bad settings, for which the program ends with code 2.
func IsFault(err error) bool {
	var f Faults
	return errors.As(err, &f)
}
