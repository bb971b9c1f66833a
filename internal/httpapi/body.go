package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/opentact/opentact/internal/fault"
)

// request is the material of one input.
type request struct {
	http   *http.Request
	op     *operation
	params []param

	loaded bool
	blank  bool   // no body at all
	sum    []byte // what idempotency compares
	body   []byte // JSON
	raw    []byte // XML, or anything when the input asks for it
	form   bool   // fields hold the members of the body
	fields url.Values
	files  map[string]File
	query  url.Values
}

func (q *request) param(name string) string {
	for _, p := range q.params {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// bodyless tells whether lists too may be given in the query.
func (q *request) bodyless() bool {
	return q.http.Method == http.MethodGet || q.http.Method == http.MethodHead
}

// queryValue finds a parameter, without regard to case when its exact name is absent; an empty one is as if absent.
// Repeated parameters are joined to a comma list.
func (q *request) queryValue(name string) (string, bool) {
	if q.http.URL.RawQuery == "" {
		return "", false
	}
	if q.query == nil {
		q.query = q.http.URL.Query()
	}
	vals, ok := q.query[name]
	if !ok {
		for k, v := range q.query {
			if strings.EqualFold(k, name) {
				vals = v
				break
			}
		}
	}
	s := strings.Join(vals, ",")
	return s, s != ""
}

func (q *request) mediaType() (string, map[string]string) {
	h := q.http.Header.Get("Content-Type")
	if h == "" {
		return "", nil
	}
	kind, params, err := mime.ParseMediaType(h)
	if err != nil {
		kind, _, _ = strings.Cut(h, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
	}
	return kind, params
}

// formTyped tells whether the body may hold a credential.
func (q *request) formTyped() bool {
	kind, _ := q.mediaType()
	return kind == "multipart/form-data" || kind == "application/x-www-form-urlencoded"
}

func (q *request) limit(kind string) int64 {
	switch {
	case q.op.op.MaxBody > 0:
		return q.op.op.MaxBody
	case kind == "multipart/form-data":
		return maxMultipartBody
	}
	return maxJSONBody
}

// read takes the body in and finds out what it is; a second call does nothing.
func (q *request) read() error {
	if q.loaded {
		return nil
	}
	q.loaded = true
	kind, params := q.mediaType()
	b, err := q.load(q.limit(kind))
	if err != nil {
		return err
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	q.sum = b
	if q.blank = len(b) == 0; q.blank {
		return nil
	}
	takesRaw := q.op.plan != nil && q.op.plan.raw != nil && !q.op.plan.raw.rules.copied
	switch {
	case takesRaw && q.op.plan.raw.rules.any:
		q.raw = b
		return nil
	case looksJSON(b):
		if len(b) > maxJSONBody && q.op.op.MaxBody == 0 {
			return fault.New(fault.TooLarge)
		}
		return q.readJSON(b)
	case kind == "multipart/form-data":
		return q.readMultipart(b, params["boundary"])
	case takesRaw && (isXML(kind) || bytes.HasPrefix(bytes.TrimSpace(b), []byte("<"))):
		q.raw = b
		return nil
	case kind == "application/x-www-form-urlencoded":
		return q.readForm(b)
	case kind == "" || kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return q.readJSON(b)
	}
	return fault.New(fault.MediaType)
}

func isXML(kind string) bool {
	return kind == "application/xml" || kind == "text/xml" || strings.HasSuffix(kind, "+xml")
}

// load reads at most limit bytes.
func (q *request) load(limit int64) ([]byte, error) {
	r := q.http
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, fault.New(fault.MediaType)
	}
	if r.ContentLength > limit {
		return nil, q.refuse()
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	if n > limit {
		return nil, q.refuse()
	}
	if err != nil {
		if r.Context().Err() != nil {
			return nil, err
		}
		return nil, fault.Wrap(fault.InvalidJSON, err) // the body ended before its announced length
	}
	return buf.Bytes(), nil
}

// refuse drops what follows of a body that is too large, within reason: a client that is still sending when the
// connection closes would see a reset instead of the 413.
func (q *request) refuse() error {
	if q.http.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, q.http.Body, maxDropped) // whether it ends or breaks does not matter
	}
	return fault.New(fault.TooLarge)
}

func (q *request) readJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if len(b) == 0 || string(b) == "null" {
		return nil
	}
	if err := checkJSON(b); err != nil {
		return err
	}
	q.body = b
	return nil
}

func (q *request) readForm(b []byte) error {
	v, err := url.ParseQuery(string(b))
	if err != nil {
		return fault.Invalid("", "invalid form", nil)
	}
	q.form, q.fields = true, v
	return nil
}

// readMultipart takes the parts: those with a file name, or named file, are files, the others fields.
func (q *request) readMultipart(b []byte, boundary string) error {
	if boundary == "" {
		return fault.Invalid("", "multipart body without boundary", nil)
	}
	q.form, q.fields, q.files = true, url.Values{}, map[string]File{}
	q.sum = nil
	parts := multipart.NewReader(bytes.NewReader(b), boundary)
	for n := 0; ; n++ {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault.Invalid("", "invalid multipart body", nil)
		}
		if n >= maxParts {
			return fault.New(fault.TooLarge)
		}
		data, err := io.ReadAll(p)
		if err != nil {
			return fault.Invalid("", "invalid multipart body", nil)
		}
		q.addPart(p, data)
	}
}

func (q *request) addPart(p *multipart.Part, data []byte) {
	name, file := p.FormName(), p.FileName()
	for _, s := range []string{name, file, p.Header.Get("Content-Type"), string(data)} {
		q.sum = append(q.sum, s...)
		q.sum = append(q.sum, 0)
	}
	if file == "" && name != "file" {
		if name != "" {
			q.fields.Add(name, string(data))
		}
		return
	}
	if data == nil {
		data = []byte{}
	}
	q.files[name] = File{Name: file, ContentType: p.Header.Get("Content-Type"), Data: data}
}
