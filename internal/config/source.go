package config

import (
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"github.com/opentact/opentact/internal/money"
)

const (
	defaultFile = "opentact.yaml"
	maxFile     = 1 << 20 // bytes of a settings file
	maxSecret   = 64 << 10
)

// Source is what environment and file say, by flag name. It answers kong for flags that are not on the command line.
type Source struct {
	values map[string]value
}

// Extra is a text that is no setting of the server.
type Extra struct {
	Name   string // of its flag
	Secret bool   // may be given as NAME_FILE
}

type value struct {
	text string
	key  string // how the operator wrote it
}

// NewSource collects OPENTACT_* variables of env and the file that --config in args, or OPENTACT_CONFIG, names; opentact.yaml in the
// working directory is read when it exists. Unknown keys, unreadable values and unreadable secret files are Faults, all of them
// together. extra are flags of client commands (api, token) that may be set in the environment and the file too. Variables that
// begin with OPENTACT_TEST_ are left alone.
func NewSource(args, env []string, extra ...Extra) (*Source, error) {
	var faults Faults
	r := reader{faults: &faults, known: map[string]setting{}}
	for _, s := range settings() {
		r.known[s.name] = s
	}
	for _, x := range extra {
		s := setting{name: x.Name, typ: reflect.TypeFor[string]()}
		if x.Secret {
			s.secret = "all"
		}
		r.known[x.Name] = s
	}
	fromEnv := r.environment(env)
	path, explicit := configFile(args, fromEnv)
	all := r.file(path, explicit)
	maps.Copy(all, fromEnv)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r.check(name, all[name])
	}
	return &Source{all}, faults.err()
}

// Options make a kong parser use the source; its flags may belong to any command.
func (s *Source) Options() []kong.Option {
	return []kong.Option{kong.Resolvers(kong.ResolverFunc(s.resolve))}
}

// Lookup gives the value of a flag name from environment or file.
func (s *Source) Lookup(name string) (string, bool) {
	v, ok := s.values[name]
	return v.text, ok
}

func (s *Source) resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if v, ok := s.values[flag.Name]; ok {
		return v.text, nil
	}
	return nil, nil // says that the default applies
}

// configFile finds the settings file before kong has parsed the command line, because kong asks for its content while parsing.
func configFile(args []string, env map[string]value) (path string, explicit bool) {
	for i, a := range args {
		if a == "--" {
			break
		}
		if v, ok := strings.CutPrefix(a, "--config="); ok {
			return v, true
		}
		if a == "--config" && i+1 < len(args) {
			return args[i+1], true
		}
	}
	if v, ok := env["config"]; ok {
		return v.text, true
	}
	return defaultFile, false
}

// reader collects values and what is wrong with them.
type reader struct {
	known  map[string]setting
	faults *Faults
}

func (r reader) environment(env []string) map[string]value {
	out := map[string]value{}
	for _, e := range env {
		key, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(key, prefix) || strings.HasPrefix(key, prefix+"TEST_") || foreign(key, text) {
			continue
		}
		name := plainName(strings.TrimPrefix(key, prefix))
		if key != strings.ToUpper(key) {
			name = key // variables are written in capitals
		}
		r.put(out, name, value{text, key}, envName)
	}
	return out
}

func (r reader) file(path string, explicit bool) map[string]value {
	out := map[string]value{}
	b, err := readLimited(path, maxFile)
	if err != nil {
		if explicit || !errors.Is(err, fs.ErrNotExist) {
			r.faults.add("--config", "%v", err)
		}
		return out
	}
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(b), yaml.Parser()); err != nil {
		r.faults.add(path, "%v", err)
		return out
	}
	content := k.All()
	for _, key := range slices.Sorted(maps.Keys(content)) {
		text, err := plainText(content[key])
		where := path + ": " + key
		switch {
		case err != nil:
			r.faults.add(where, "%v", err)
		case plainName(key) == "config":
			r.faults.add(where, "a settings file names no other settings file")
		default:
			r.put(out, plainName(key), value{text, where}, fileName)
		}
	}
	return out
}

// put takes a value, or for NAME-file of a secret the content of the file that it names.
func (r reader) put(out map[string]value, name string, v value, spelled func(string) string) {
	if secret, ok := strings.CutSuffix(name, "-file"); ok && r.known[secret].secret != "" {
		b, err := readLimited(v.text, maxSecret)
		if err != nil {
			r.faults.add(v.key, "%v", err)
			return
		}
		name, v.text = secret, strings.TrimRight(string(b), "\r\n")
	}
	if _, ok := r.known[name]; !ok {
		r.faults.add(v.key, "unknown key, did you mean %s?", spelled(nearest(plainName(name), slices.Sorted(maps.Keys(r.known)))))
		return
	}
	if before, ok := out[name]; ok {
		r.faults.add(v.key, "given twice, also as %s", before.key)
		return
	}
	out[name] = v
}

// check reads the value as kong will, so that all that cannot be read are reported together.
func (r reader) check(name string, v value) {
	target := reflect.New(r.known[name].typ)
	var err error
	switch t := target.Interface().(type) {
	case *bool:
		if !slices.Contains([]string{"true", "false", "1", "0", "yes", "no"}, strings.ToLower(v.text)) {
			err = fmt.Errorf("%q is not true or false", v.text)
		}
	case *int:
		if _, bad := strconv.Atoi(v.text); bad != nil {
			err = fmt.Errorf("%q is not a whole number", v.text)
		}
	case *time.Duration:
		if _, bad := time.ParseDuration(v.text); bad != nil {
			err = fmt.Errorf("%q is not a duration like 30s", v.text)
		}
	case *money.Amount:
		*t, err = money.Parse(v.text)
	case encoding.TextUnmarshaler:
		err = t.UnmarshalText([]byte(v.text))
	}
	if err != nil {
		r.faults.add(v.key, "%v", err)
	}
}

// plainText turns a YAML value into the text that a flag would carry.
func plainText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, int, int64, uint64:
		return fmt.Sprint(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case []any:
		var parts []string
		for _, x := range v {
			s, err := plainText(x)
			if err != nil {
				return "", err
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ","), nil
	case nil:
		return "", errors.New("has no value")
	}
	return "", fmt.Errorf("a %T is not a value of a setting", v)
}

func readLimited(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() || info.Size() > limit {
		return nil, fmt.Errorf("%s is a directory or larger than %d bytes", path, limit)
	}
	return os.ReadFile(path)
}
