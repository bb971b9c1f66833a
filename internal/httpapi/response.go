package httpapi

import (
	"bufio"
	"compress/gzip"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// response watches the answer: it knows the status, drops the body of HEAD, compresses, and copies what a replay needs.
type response struct {
	http.ResponseWriter
	api     *API
	head    bool
	zipped  bool // the client takes gzip
	started bool // WriteHeader was called by the handler
	sent    bool // the header went out
	status  int
	size    int64
	pending []byte // held back until it is known whether to compress
	zip     *gzip.Writer
	held    []byte // not nil: the answer is kept back for the idempotency store
	whole   bool   // however long it is
}

func (a *API) newResponse(w http.ResponseWriter, r *http.Request) *response {
	head := r.Method == http.MethodHead
	return &response{
		ResponseWriter: w, api: a, head: head,
		zipped: !head && r.Header.Get("Upgrade") == "" && acceptsGzip(r.Header.Get("Accept-Encoding")),
	}
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3).
func acceptsGzip(h string) bool {
	if h == "" {
		return false
	}
	for _, part := range strings.Split(h, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name = strings.TrimSpace(name); strings.EqualFold(name, "gzip") || name == "*" {
			q = strings.ReplaceAll(q, " ", "")
			if v, found := strings.CutPrefix(q, "q="); found {
				f, err := strconv.ParseFloat(v, 64)
				return err == nil && f > 0
			}
			return true
		}
	}
	return false
}

// Unwrap serves http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status; it goes out with the first decision about the body.
func (w *response) WriteHeader(code int) {
	if code >= 100 && code < 200 {
		w.ResponseWriter.WriteHeader(code)
		if code == http.StatusSwitchingProtocols {
			w.started, w.sent, w.status = true, true, code
		}
		return
	}
	if w.started {
		return
	}
	w.started, w.status = true, code
	if w.held == nil {
		w.open()
	}
}

// open sends the header at once when the body will not be compressed.
func (w *response) open() {
	code := w.status
	if !w.zipped || code == http.StatusNoContent || code == http.StatusNotModified || code == http.StatusPartialContent {
		w.zipped = false
		w.send()
	}
}

func (w *response) send() {
	if !w.sent {
		w.sent = true
		w.ResponseWriter.WriteHeader(w.status)
	}
}

// Write takes a part of the body.
func (w *response) Write(b []byte) (int, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	if w.held == nil {
		return w.pass(b)
	}
	if w.whole || len(w.held)+len(b) <= maxStored {
		w.held = append(w.held, b...)
		return len(b), nil
	}
	w.letGo()
	return w.pass(b)
}

// pass sends a part of the body on.
func (w *response) pass(b []byte) (int, error) {
	w.size += int64(len(b))
	switch {
	case w.head:
		return len(b), nil
	case w.zip != nil:
		return w.zip.Write(b)
	case w.sent:
		return w.ResponseWriter.Write(b)
	case len(w.pending)+len(b) <= gzipAbove:
		w.pending = append(w.pending, b...)
		return len(b), nil
	}
	if err := w.decide(true); err != nil {
		return 0, err
	}
	if w.zip != nil {
		return w.zip.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// decide sends header and held bytes, compressed when the body is long enough and of a kind that shrinks.
func (w *response) decide(long bool) error {
	h := w.Header()
	if compressible(h.Get("Content-Type")) && h.Get("Content-Encoding") == "" {
		h.Add("Vary", "Accept-Encoding")
		if long {
			h.Set("Content-Encoding", "gzip")
			h.Del("Content-Length")
			h.Del("Accept-Ranges")
			w.zip = w.api.gzipWriter(w.ResponseWriter)
		}
	}
	w.send()
	held := w.pending
	w.pending = nil
	if len(held) == 0 {
		return nil
	}
	var err error
	if w.zip != nil {
		_, err = w.zip.Write(held)
	} else {
		_, err = w.ResponseWriter.Write(held)
	}
	return err
}

func compressible(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	switch kind = strings.TrimSpace(kind); {
	case strings.HasPrefix(kind, "text/"), strings.HasSuffix(kind, "json"), strings.HasSuffix(kind, "xml"),
		strings.HasSuffix(kind, "javascript"), strings.HasSuffix(kind, "yaml"), kind == "application/wasm":
		return kind != "text/event-stream"
	}
	return false
}

// Flush sends what was written so far.
func (w *response) Flush() {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	w.letGo()
	if !w.sent {
		_ = w.decide(true) // an error of the connection shows at the next write
	}
	if w.zip != nil {
		_ = w.zip.Flush()
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack gives the connection to a websocket.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.started, w.sent = true, true
		if w.status == 0 {
			w.status = http.StatusSwitchingProtocols
		}
	}
	return c, rw, err
}

// abandon forgets an answer of which nothing went out yet, and tells whether that was possible.
func (w *response) abandon() bool {
	if w.sent {
		return false
	}
	w.started, w.status, w.size, w.pending, w.held = false, 0, 0, nil, nil
	return true
}

// finish sends what is still held; an answer without any write becomes an empty 200.
func (w *response) finish() {
	if !w.started {
		if w.status != statusGone {
			w.status = http.StatusOK
		}
		return
	}
	if !w.sent {
		_ = w.decide(false) // the client is gone when this fails
	}
	if w.zip != nil {
		_ = w.zip.Close()
		w.api.zips.Put(w.zip)
		w.zip = nil
	}
}

func (a *API) gzipWriter(w http.ResponseWriter) *gzip.Writer {
	if z, ok := a.zips.Get().(*gzip.Writer); ok {
		z.Reset(w)
		return z
	}
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is valid
	return z
}
