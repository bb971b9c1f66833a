package house

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTicks is USER_HZ of Linux: the unit of times in /proc, per second.
const clockTicks = 100

// CPU is the processor time that the server has used so far, user and system.
func (s *Server) CPU() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	if err != nil {
		return 0, err
	}
	// The name in brackets may hold spaces; fields are counted after it (proc(5): utime is field 14, stime 15).
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("unexpected stat of the process: %s", b)
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("unexpected stat of the process: %s", b)
	}
	return time.Duration(user+system) * time.Second / clockTicks, nil
}

// RSS is the server's resident memory in bytes.
func (s *Server) RSS() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in the status of the process")
}

// Files is the number of the server's open files.
func (s *Server) Files() (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	return len(entries), err
}

// Metrics reads /metrics: value by name with labels, as written there.
func (c *Client) Metrics(ctx context.Context) (map[string]float64, error) {
	a, err := c.Request(ctx, "GET", "/metrics", nil, nil)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(a.Body))
	for lines.Scan() {
		text := lines.Text()
		at := strings.LastIndexByte(text, ' ')
		if at < 0 {
			continue
		}
		name, value := text[:at], text[at+1:]
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(name, "#") {
			out[name] = v
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no metrics, status %d: %s", a.Status, short(a.Body))
	}
	return out, lines.Err()
}
