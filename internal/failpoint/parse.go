//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Env is the variable that arms the program. It begins with the letters that the server's settings leave to tests.
const Env = "OPENTACT_TEST_FAILPOINT"

// exitCode tells the exit of a failpoint from others.
const exitCode = 3

// plan is the armed moments by name.
type plan map[string]*moment

type moment struct {
	at   int64 // hit, from 1
	act  func()
	hits atomic.Int64
}

// parse reads "name:N[:kill|exit|sleep=D]" elements with commas between them; an empty text arms nothing.
func parse(text string) (plan, error) {
	p := plan{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, rest, _ := strings.Cut(part, ":")
		if !slices.ContainsFunc(Points(), func(p Point) bool { return p.Name == name }) {
			return nil, fmt.Errorf("%s: no failpoint %q", Env, name)
		}
		count, action, _ := strings.Cut(rest, ":")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s: %s needs the number of a hit, from 1", Env, name)
		}
		act, err := actionOf(action)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", Env, name, err)
		}
		p[name] = &moment{at: n, act: act}
	}
	return p, nil
}

func actionOf(text string) (func(), error) {
	switch text {
	case "", "kill":
		return kill, nil
	case "exit":
		return func() { os.Exit(exitCode) }, nil
	}
	if d, ok := strings.CutPrefix(text, "sleep="); ok {
		pause, err := time.ParseDuration(d)
		return func() { time.Sleep(pause) }, err
	}
	return nil, fmt.Errorf("unknown action %q: kill, exit or sleep=5s", text)
}
