package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// lean is a client with one connection that writes requests out by hand and reads of an answer what it needs: the generator shares its core with the database,
// and net/http's client costs as much as the server.
type lean struct {
	conn net.Conn
	r    *bufio.Reader
	head string
	buf  bytes.Buffer
}

// leanTimeout bounds one request.
const leanTimeout = 30 * time.Second

// poster makes a client that sends JSON to one path.
func poster(s *stand, path string) (*lean, error) {
	conn, err := net.Dial("tcp", s.HTTP)
	if err != nil {
		return nil, err
	}
	head := "POST " + path + " HTTP/1.1\r\nHost: " + s.HTTP + "\r\nAuthorization: Bearer " + house.Token + "\r\nContent-Type: application/json\r\nContent-Length: "
	return &lean{conn: conn, r: bufio.NewReaderSize(conn, 8<<10), head: head}, nil
}

// post sends a body and wants a 2xx.
func (l *lean) post(body string) error {
	l.buf.Reset()
	l.buf.WriteString(l.head)
	l.buf.WriteString(strconv.Itoa(len(body)))
	l.buf.WriteString("\r\n\r\n")
	l.buf.WriteString(body)
	if err := l.conn.SetDeadline(time.Now().Add(leanTimeout)); err != nil {
		return err
	}
	if _, err := l.conn.Write(l.buf.Bytes()); err != nil {
		return err
	}
	status, err := l.r.ReadString('\n')
	if err != nil {
		return err
	}
	length := -1
	for {
		line, err := l.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		const name = "content-length:"
		if len(line) > len(name) && strings.EqualFold(string(line[:len(name)]), name) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("answer without Content-Length")
	}
	if strings.HasPrefix(status, "HTTP/1.1 2") {
		_, err = l.r.Discard(length)
		return err
	}
	text, err := io.ReadAll(io.LimitReader(l.r, int64(length)))
	return errors.Join(fmt.Errorf("%s: %s", strings.TrimSpace(status), text), err)
}

// posters opens a client for each of n callers.
func posters(s *stand, path string, n int) (list []*lean, stop func(), err error) {
	stop = func() {
		for _, l := range list {
			_ = l.conn.Close()
		}
	}
	for range n {
		l, err := poster(s, path)
		if err != nil {
			stop()
			return nil, nil, err
		}
		list = append(list, l)
	}
	return list, stop, nil
}

// profiled runs fn and writes the server's CPU profile of this time to a file; an empty name writes none.
func (b *bench) profiled(s *stand, file string, d time.Duration, fn func() error) error {
	if file == "" {
		return fn()
	}
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		failed = save(b.ctx, s.c, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(d.Seconds()))), file)
	})
	err := fn()
	wg.Wait()
	return errors.Join(err, failed)
}

func save(ctx context.Context, c *house.Client, path, file string) error {
	a, err := c.Request(ctx, "GET", path, nil, nil)
	if err != nil {
		return err
	}
	return os.WriteFile(file, a.Body, 0o600)
}
