package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/opentact/opentact/internal/cli/client"
)

const defaultAPI = "http://127.0.0.1:8080"

// connection are the flags of every command that talks to a running server.
type connection struct {
	API   string `name:"api" placeholder:"URL" help:"Address of the server (OPENTACT_API). Default: that of opentact login, else http://127.0.0.1:8080."`
	Token string `placeholder:"TEXT" help:"API token (OPENTACT_TOKEN). Default: that of opentact login."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// profile is what login remembers.
type profile struct {
	API   string `yaml:"api"`
	Token string `yaml:"token"`
}

// client finds address and token: flags and environment, then the login profile. The profile's token goes to the profile's server only.
func (c *connection) client(p *Program) (*client.Client, error) {
	saved, err := loadProfile(p.Env)
	if err != nil {
		return nil, err
	}
	base, token := c.API, c.Token
	if base == "" {
		base = saved.API
	}
	if base == "" {
		base = defaultAPI
	}
	if token == "" && sameServer(base, saved.API) {
		token = saved.Token
	}
	if token == "" {
		return nil, misuse("no token for %s: give --token, set OPENTACT_TOKEN, or run opentact login", base)
	}
	api, err := client.New(base, token)
	if err != nil {
		return nil, misuse("--api: %v", err)
	}
	return api, nil
}

func sameServer(a, b string) bool {
	plain := func(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "/"), "/rest") }
	return plain(a) == plain(b)
}

// advised adds the way out to the errors that have one.
func advised(api *client.Client, err error) error {
	var nobody *client.UnreachableError
	switch {
	case errors.As(err, &nobody):
		return fmt.Errorf("%w; start it with opentact serve, or give --api", err)
	case client.IsStatus(err, 401), errors.Is(err, client.ErrSignedOut):
		return fmt.Errorf("%s does not accept the token: run opentact login, or give another --token", api.Base())
	case client.IsCode(err, "insufficient_balance"):
		return fmt.Errorf("%w; an operator adds credit with POST /rest/admin/account/{uuid}/credit", err)
	case client.IsStatus(err, 410):
		return fmt.Errorf("%w; leave --since out to begin with what happens now", err)
	}
	return err
}

// profilePath is where login keeps the profile: below the user's configuration directory.
func profilePath(env []string) (string, error) {
	dir := lookup(env, "XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		home := lookup(env, "HOME")
		if home == "" {
			return "", errors.New("HOME is not set, so there is no place for a login profile: give --api and --token")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "opentact", "profile.yaml"), nil
}

func lookup(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// loadProfile gives an empty profile when nobody logged in.
func loadProfile(env []string) (profile, error) {
	var out profile
	path, err := profilePath(env)
	if err != nil {
		return out, nil // no place, no profile
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = yaml.Unmarshal(b, &out)
	}
	if err != nil {
		return out, fmt.Errorf("the login profile cannot be read, run opentact login again: %w", err)
	}
	return out, nil
}

// save writes the profile so that only its owner can read it.
func (c profile) save(env []string) (string, error) {
	path, err := profilePath(env)
	if err != nil {
		return "", err
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o600) // an older file may be open to others
}

// readSecret reads one line; on a terminal it asks for it and what is typed is not shown.
func readSecret(p *Program, prompt string) (string, error) {
	if f, ok := p.In.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprint(p.Err, prompt)
			if echo(f, "-echo") == nil {
				defer func() {
					_ = echo(f, "echo")
					fmt.Fprintln(p.Err)
				}()
			}
		}
	}
	line, err := bufio.NewReader(io.LimitReader(p.In, 4096)).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", misuse("nothing was entered")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return line, nil
}

// echo turns the echo of a terminal on or off.
func echo(f *os.File, mode string) error {
	stty := exec.Command("stty", mode)
	stty.Stdin = f
	return stty.Run()
}
