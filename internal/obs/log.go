package obs

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode/utf8"
)

// LevelTrace is below debug: protocol texts and message bodies. Secrets are blanked there too.
const LevelTrace = slog.Level(-8)

const blank = "***"

// LogOptions say how to log.
type LogOptions struct {
	Writer io.Writer // nil: standard error
	Level  string    // trace, debug, info (also when empty), warn, error
	Format string    // text, json, or auto (also when empty): text on a terminal, else json
}

// NewLogger makes a logger. An unknown level or format is an error.
func NewLogger(o LogOptions) (*slog.Logger, error) {
	if o.Writer == nil {
		o.Writer = os.Stderr
	}
	level, ok := levels[o.Level]
	if !ok {
		return nil, fmt.Errorf("log level %q is none of trace, debug, info, warn, error", o.Level)
	}
	format := o.Format
	if format == "" || format == "auto" {
		format = "json"
		if terminal(o.Writer) {
			format = "text"
		}
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redactor(level)}
	switch format {
	case "text":
		return slog.New(contextHandler{slog.NewTextHandler(o.Writer, options)}), nil
	case "json":
		return slog.New(contextHandler{slog.NewJSONHandler(o.Writer, options)}), nil
	}
	return nil, fmt.Errorf("log format %q is none of text, json, auto", o.Format)
}

var levels = map[string]slog.Level{
	"": slog.LevelInfo, "trace": LevelTrace, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// redactor blanks secrets always, and bodies unless the logger shows trace.
func redactor(level slog.Level) func(groups []string, a slog.Attr) slog.Attr {
	return func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.LevelKey {
			if l, ok := a.Value.Any().(slog.Level); ok && l <= LevelTrace {
				a.Value = slog.StringValue("TRACE")
			}
			return a
		}
		key := strings.ToLower(strings.ReplaceAll(a.Key, "-", "_"))
		switch {
		case a.Value.Kind() == slog.KindGroup:
		case secretKey(key):
			a.Value = slog.StringValue(blank)
		case bodyKeys[key] && level > LevelTrace:
			a.Value = slog.StringValue(fmt.Sprintf("[%d characters]", utf8.RuneCountInString(bodyText(a.Value))))
		}
		return a
	}
}

func secretKey(key string) bool {
	for _, s := range secretWords {
		if strings.Contains(key, s) {
			return !strings.HasSuffix(key, "_id") && !strings.HasSuffix(key, "_file")
		}
	}
	return false
}

func bodyText(v slog.Value) string {
	if b, ok := v.Any().([]byte); ok {
		return string(b)
	}
	return v.String()
}

// secretWords inside the name of an attribute make its value a secret.
var secretWords = []string{
	"password", "passwd", "token", "secret", "authorization", "credential", "cookie", "api_key", "apikey", "private_key", "ha1", "signature",
}

// bodyKeys are the names under which texts of customers are logged. The log line's own message is called "msg".
var bodyKeys = map[string]bool{"body": true, "message": true, "text": true, "payload": true, "short_message": true, "digits": true}
