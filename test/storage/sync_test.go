package storage

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// Customers of the traced server.
const (
	tracedClients  = 8
	tracedRequests = 15 // of each
)

// call is one system call in a trace, by the lines at which it began and ended.
type call struct {
	text       string
	began, end int
}

// trace is what the server asked of the kernel.
type trace struct {
	syncs   []call
	reads   map[string]call // the last POST that was read, by file descriptor
	answers int
	early   []string // answers that left before a sync
}

var (
	// A line is "PID name(fd…", or "PID <... name resumed>…" with the rest of a call that another thread came between.
	tracedLine = regexp.MustCompile(`^(\d+) +(.*)$`)
	resumed    = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(.*)$`)
	descriptor = regexp.MustCompile(`^\w+\((\d+)`)
)

// follow reads the lines of strace until it ends.
func (tr *trace) follow(r io.Reader) error {
	pending := map[string]call{} // by thread
	lines := bufio.NewScanner(r)
	for n := 0; lines.Scan(); n++ {
		m := tracedLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		thread, text := m[1], m[2]
		if head, open := strings.CutSuffix(text, "<unfinished ...>"); open {
			pending[thread] = call{text: head, began: n}
			tr.leaves(pending[thread])
			continue
		}
		c := call{text: text, began: n, end: n}
		if rest := resumed.FindStringSubmatch(text); rest != nil {
			c = pending[thread]
			c.text, c.end = c.text+rest[2], n
		} else {
			tr.leaves(c)
		}
		tr.ended(c)
	}
	return lines.Err()
}

// leaves looks at a call that begins: an answer must have a sync that began after its request was read and has ended.
func (tr *trace) leaves(c call) {
	fd := descriptor.FindStringSubmatch(c.text)
	if fd == nil || !strings.Contains(c.text, `"HTTP/1.1 2`) {
		return
	}
	request, asked := tr.reads[fd[1]]
	if !asked {
		return
	}
	delete(tr.reads, fd[1])
	tr.answers++
	for _, s := range tr.syncs {
		if s.began > request.end {
			return
		}
	}
	tr.early = append(tr.early, c.text)
}

// ended notes requests and syncs that came to their end.
func (tr *trace) ended(c call) {
	switch {
	case strings.HasPrefix(c.text, "read(") && strings.Contains(c.text, `"POST /rest/`):
		tr.reads[descriptor.FindStringSubmatch(c.text)[1]] = c
	case (strings.HasPrefix(c.text, "fsync(") || strings.HasPrefix(c.text, "fdatasync(")) && strings.HasSuffix(c.text, "= 0"):
		tr.syncs = append(tr.syncs, c)
	}
}

// TestNoAnswerLeavesBeforeItsSync watches the system calls of the built server on SQLite while customers write at once: before the first byte of a 2xx to a POST,
// a sync has succeeded that began after the request was read.
func TestNoAnswerLeavesBeforeItsSync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing (Debian package strace):", err)
	}
	binary, err := house.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "trace")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tr := &trace{reads: map[string]call{}}
	followed := make(chan error, 1)
	go func() {
		f, err := os.Open(pipe)
		if err == nil {
			err = tr.follow(f)
			_ = f.Close()
		}
		followed <- err
	}()
	s, err := house.Start(t.Context(), house.Options{Binary: binary, Data: t.TempDir(), Wrap: []string{
		strace, "-D", "-f", "--seccomp-bpf", "-s", "24", "-e", "trace=read,fsync,fdatasync,write,writev,sendto,sendmsg", "-e", "signal=none", "-o", pipe,
	}})
	if err != nil {
		t.Fatal(err)
	}
	post(t, s.HTTP)
	if code, err := s.Stop(); code != 0 || err != nil {
		t.Errorf("the server ended with %d, %v", code, err)
	}
	if err := <-followed; err != nil {
		t.Fatal(err)
	}
	if want := tracedClients * tracedRequests; tr.answers != want {
		t.Errorf("%d answers in the trace, want %d", tr.answers, want)
	}
	for _, e := range tr.early {
		t.Error("left before a sync:", e)
	}
	t.Logf("%d answers, %d syncs", tr.answers, len(tr.syncs))
}

// post makes addresses, many at once, each over a connection of its own, so that the first read has the whole head of the request.
func post(t *testing.T, addr string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for c := range tracedClients {
		all.Go(func() {
			for i := range tracedRequests {
				body := fmt.Sprintf(`{"name": "shop %d of %d", "address1": "9 Pier Road", "zip_code": "10004", "city": "New York", "country": "US"}`, i, c)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/rest/address", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+house.Token)
				req.Header.Set("Content-Type", "application/json")
				res, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusCreated {
					t.Error(res.Status)
				}
			}
		})
	}
	all.Wait()
}

// TestATraceTellsAnAnswerThatLeftTooEarly shows that the test above can fail.
func TestATraceTellsAnAnswerThatLeftTooEarly(t *testing.T) {
	for text, early := range map[string]int{
		"1 read(9, \"POST /rest/address\", 4096) = 90\n2 fdatasync(5 <unfinished ...>\n1 read(8, \"\", 9) = 0\n2 <... fdatasync resumed>) = 0\n1 write(9, \"HTTP/1.1 201 Created\"..., 300) = 300\n": 0,
		"1 read(9, \"POST /rest/address\", 4096) = 90\n1 write(9, \"HTTP/1.1 201 Created\"..., 300) = 300\n2 fdatasync(5) = 0\n":                                                                     1,
		"2 fdatasync(5 <unfinished ...>\n1 read(9, \"POST /rest/address\", 4096) = 90\n2 <... fdatasync resumed>) = 0\n1 write(9, \"HTTP/1.1 201 Created\"..., 300) = 300\n":                         1, // another's
		"1 read(9, \"POST /rest/address\", 4096) = 90\n2 fdatasync(5 <unfinished ...>\n1 write(9, \"HTTP/1.1 201 Created\" <unfinished ...>\n2 <... fdatasync resumed>) = 0\n":                       1,
		"1 read(9, \"POST /rest/address\", 4096) = 90\n2 fsync(5) = -1 EIO (Input/output error)\n1 write(9, \"HTTP/1.1 201 Created\"..., 300) = 300\n":                                               1,
		"1 read(9, \"POST /rest/address\", 4096) = 90\n1 write(9, \"HTTP/1.1 500 Internal\"..., 300) = 300\n":                                                                                        0,
	} {
		tr := &trace{reads: map[string]call{}}
		if err := tr.follow(strings.NewReader(text)); err != nil || len(tr.early) != early {
			t.Errorf("%s\ntells of %d, want %d, %v", text, len(tr.early), early, err)
		}
	}
}
