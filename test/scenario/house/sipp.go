package house

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// SIPp is one run of the program sipp (Debian package sip-tester), an independent SIP peer.
type SIPp struct {
	Dir      string        // of the scenarios; default ../sipp
	Scenario string        // file there
	Server   string        // host:port; empty for a scenario that is called
	Number   string        // user part of the request URI
	Calls    int           // 0 for a scenario that is called: it ends with the context
	Rate     int           // calls per second
	Limit    int           // calls at one time; 0 leaves sipp's default
	Keys     []string      // further arguments
	Timeout  time.Duration // of the whole run, default 60 s
}

// SIPpResult is the end of its statistics.
type SIPpResult struct{ Successful, Failed, Retransmissions int }

// Run carries it out. The error has what sipp complained of.
func (r SIPp) Run(ctx context.Context) (SIPpResult, error) {
	if r.Timeout == 0 {
		r.Timeout = time.Minute
	}
	if r.Dir == "" {
		r.Dir = filepath.Join("..", "sipp")
	}
	program, err := exec.LookPath("sipp")
	if err != nil {
		return SIPpResult{}, fmt.Errorf("sipp is needed (Debian package sip-tester): %w", err)
	}
	dir, err := os.MkdirTemp("", "sipp")
	if err != nil {
		return SIPpResult{}, err
	}
	defer os.RemoveAll(dir)
	file, err := filepath.Abs(filepath.Join(r.Dir, r.Scenario))
	if err != nil {
		return SIPpResult{}, err
	}
	stat, complaints := filepath.Join(dir, "stat.csv"), filepath.Join(dir, "errors.log")
	var args []string
	if r.Server != "" {
		args = []string{r.Server, "-s", r.Number}
	}
	args = append(args, "-sf", file, "-i", "127.0.0.1", "-nostdin",
		"-trace_stat", "-stf", stat, "-fd", "1", "-trace_err", "-error_file", complaints,
		"-timeout", strconv.Itoa(int(r.Timeout.Seconds()))+"s", "-timeout_error", "-recv_timeout", "20000")
	if r.Calls > 0 {
		args = append(args, "-m", strconv.Itoa(r.Calls), "-r", strconv.Itoa(r.Rate))
	}
	if r.Limit > 0 {
		args = append(args, "-l", strconv.Itoa(r.Limit))
	}
	cmd := exec.CommandContext(ctx, program, append(args, r.Keys...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=dumb")
	runErr := cmd.Run()
	result, err := readStat(stat)
	if runErr != nil || err != nil || result.Failed > 0 || result.Successful != r.Calls {
		text, _ := os.ReadFile(complaints) // it is there only when there were complaints
		if len(text) > 3000 {
			text = text[:3000]
		}
		return result, fmt.Errorf("sipp %s: %v %v; %d of %d calls succeeded, %d failed\n%s", r.Scenario, runErr, err, result.Successful, r.Calls, result.Failed, text)
	}
	return result, nil
}

// readStat reads the last line of sipp's statistics.
func readStat(file string) (SIPpResult, error) {
	f, err := os.Open(file)
	if err != nil {
		return SIPpResult{}, err
	}
	defer f.Close()
	in := csv.NewReader(f)
	in.Comma, in.FieldsPerRecord, in.LazyQuotes = ';', -1, true
	rows, err := in.ReadAll()
	if err != nil {
		return SIPpResult{}, err
	}
	if len(rows) < 2 {
		return SIPpResult{}, fmt.Errorf("sipp wrote no statistics")
	}
	last := rows[len(rows)-1]
	var r SIPpResult
	for i, name := range rows[0] {
		if i >= len(last) {
			break
		}
		n, _ := strconv.Atoi(strings.TrimSpace(last[i])) // other columns are not numbers
		switch name {
		case "SuccessfulCall(C)":
			r.Successful = n
		case "FailedCall(C)":
			r.Failed = n
		case "Retransmissions(C)":
			r.Retransmissions = n
		}
	}
	return r, nil
}
