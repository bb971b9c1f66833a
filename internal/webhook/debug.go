package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far a receiver lets the timestamp be off (webhooks.md §7.2).
const tolerance = 5 * time.Minute

// Received is a request as a customer's server got it.
type Received struct {
	Headers map[string]string // names in lower case
	Body    []byte
	Sent    []byte // what we sent under this webhook-id; nil: not known
}

// NamedSecret is a secret to be tried.
type NamedSecret struct{ Name, Secret string }

// Finding is one thing that is wrong with a request.
type Finding struct {
	Header  string `json:"header,omitempty"` // the header it is about
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Diagnosis says whether a request verifies, and if not, why.
type Diagnosis struct {
	Valid     bool      `json:"valid"`
	Findings  []Finding `json:"findings"`
	Matches   string    `json:"matches"` // under which change the signature matches; empty: under none
	ID        string    `json:"webhook_id"`
	Timestamp string    `json:"webhook_timestamp"`
	Received  []string  `json:"received_signatures"`
	Expected  string    `json:"expected_signature"` // with the first secret; empty when it cannot be told
	// SignatureByte is where the first received signature begins to differ from the expected one, BodyByte where the received body begins to differ from
	// the one that was sent; -1: it does not differ, or is not known.
	SignatureByte int `json:"signature_differs_at"`
	BodyByte      int `json:"body_differs_at"`
	BodyLength    int `json:"body_length"`
	SentLength    int `json:"sent_length"` // -1: not known
}

func (d *Diagnosis) found(header, code, format string, args ...any) {
	d.Findings = append(d.Findings, Finding{Header: header, Code: code, Message: fmt.Sprintf(format, args...)})
}

// Diagnose looks at a received request the way a receiver should, and says what it finds wrong.
func Diagnose(r Received, secrets []NamedSecret, now time.Time) Diagnosis {
	d := Diagnosis{Findings: []Finding{}, Received: []string{}, SignatureByte: -1, BodyByte: -1, BodyLength: len(r.Body), SentLength: -1}
	d.ID, d.Timestamp = r.Headers["webhook-id"], r.Headers["webhook-timestamp"]
	d.checkID()
	late := d.checkTimestamp(now)
	d.checkSignatures(r.Headers["webhook-signature"])
	if r.Sent != nil {
		d.SentLength = len(r.Sent)
		if d.BodyByte = differsAt(r.Body, r.Sent); d.BodyByte >= 0 {
			d.found("", "body_differs", "the body differs from the one that was sent, from byte %d on (%d bytes here, %d bytes sent)", d.BodyByte, len(r.Body), len(r.Sent))
		}
	}
	if d.ID == "" || d.Timestamp == "" {
		return d
	}
	first := secrets[0]
	d.Expected = signature(key(first.Secret), d.ID, d.Timestamp, r.Body)
	d.Matches = d.search(r, secrets)
	if len(d.Received) > 0 && d.Matches != asItIs {
		d.SignatureByte = differsAt([]byte(d.Received[0]), []byte(d.Expected))
	}
	switch {
	case d.Matches == asItIs:
		d.Valid = !late && len(d.Findings) == 0
	case d.Matches != "":
		d.found("webhook-signature", "signature_differs", "the signature matches %s", d.Matches)
	case len(d.Received) > 0:
		d.found("webhook-signature", "signature_differs", "no signature matches: the secret, the id, the timestamp or the bytes of the body are not those that were signed")
	}
	return d
}

func (d *Diagnosis) checkID() {
	switch {
	case d.ID == "":
		d.found("webhook-id", "header_missing", "the header webhook-id is missing")
	case strings.TrimSpace(d.ID) != d.ID:
		d.found("webhook-id", "header_malformed", "webhook-id has space around it")
	case !strings.HasPrefix(d.ID, "msg_"):
		d.found("webhook-id", "header_malformed", "webhook-id does not begin with msg_")
	}
}

// checkTimestamp tells whether the time is missing, no time, or more than five minutes off.
func (d *Diagnosis) checkTimestamp(now time.Time) (off bool) {
	const header = "webhook-timestamp"
	if d.Timestamp == "" {
		d.found(header, "header_missing", "the header webhook-timestamp is missing")
		return true
	}
	n, err := strconv.ParseInt(d.Timestamp, 10, 64)
	if err != nil {
		d.found(header, "header_malformed", "webhook-timestamp is not a number of seconds since 1970")
		return true
	}
	if n > 1e11 {
		d.found(header, "header_malformed", "webhook-timestamp looks like milliseconds; it counts seconds since 1970")
		return true
	}
	if off := now.Sub(time.Unix(n, 0)); off > tolerance || off < -tolerance {
		d.found(header, "timestamp_outside_window", "webhook-timestamp is %s off the present time; receivers should allow 5 minutes", off.Round(time.Second))
		return true
	}
	return false
}

func (d *Diagnosis) checkSignatures(value string) {
	const header = "webhook-signature"
	if value == "" {
		d.found(header, "header_missing", "the header webhook-signature is missing")
		return
	}
	for _, one := range strings.Fields(value) {
		d.Received = append(d.Received, one)
		version, coded, ok := strings.Cut(one, ",")
		raw, err := base64.StdEncoding.DecodeString(coded)
		switch {
		case !ok:
			d.found(header, "header_malformed", "a signature has no version: want v1,<base64>")
		case version != "v1":
			d.found(header, "header_malformed", "a signature has the version %s: only v1 is known", version)
		case err != nil:
			d.found(header, "header_malformed", "a signature is not base64")
		case len(raw) != 32:
			d.found(header, "header_malformed", "a signature has %d bytes: HMAC-SHA256 has 32", len(raw))
		}
	}
}

// asItIs is the way of reading in which nothing is wrong.
const asItIs = "as it is"

// search tries the ways in which receivers go wrong and names the first under which a received signature matches.
func (d *Diagnosis) search(r Received, secrets []NamedSecret) string {
	for i, s := range secrets {
		if d.matches(key(s.Secret), d.ID, r.Body) {
			if i == 0 {
				return asItIs
			}
			return "with the " + s.Name
		}
	}
	for _, s := range secrets {
		for _, b := range bodyReadings(r) {
			if d.matches(key(s.Secret), d.ID, b.body) {
				return b.name
			}
		}
		for _, k := range keyReadings(s.Secret) {
			if d.matches(k.body, d.ID, r.Body) {
				return k.name
			}
		}
		if bare := strings.TrimPrefix(d.ID, "msg_"); bare != d.ID && d.matches(key(s.Secret), bare, r.Body) {
			return "if the id is signed without msg_"
		} else if d.matches(key(s.Secret), "msg_"+d.ID, r.Body) {
			return "if the id begins with msg_, which was lost on the way"
		}
	}
	return ""
}

func (d *Diagnosis) matches(key []byte, id string, body []byte) bool {
	want := []byte(signature(key, id, d.Timestamp, body))
	for _, got := range d.Received {
		if hmac.Equal([]byte(got), want) {
			return true
		}
	}
	return false
}

// reading is another way to read the same thing.
type reading struct {
	name string
	body []byte
}

// bodyReadings are the ways in which frameworks change a body before it is verified.
func bodyReadings(r Received) []reading {
	b := r.Body
	out := []reading{
		{"if the newline at the end of the body is removed", bytes.TrimRight(b, "\r\n")},
		{"if space around the body is removed", bytes.TrimSpace(b)},
		{"if CRLF in the body is LF", bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))},
		{"if LF in the body is CRLF", bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))},
		{"if a newline is added to the body", append(bytes.Clone(b), '\n')},
		{"if the byte order mark before the body is removed", bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))},
	}
	if r.Sent != nil {
		out = append(out, reading{"with the body that was sent: the received one was changed on the way or by the receiver", r.Sent})
	}
	var compact bytes.Buffer
	if json.Compact(&compact, b) == nil {
		out = append(out, reading{"if the JSON is without space: it was written again by the receiver", compact.Bytes()})
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if dec.Decode(&v) == nil {
		if sorted, err := json.Marshal(v); err == nil {
			out = append(out, reading{"if the JSON is written with its members in order of name", sorted})
		}
	}
	var text string
	if json.Unmarshal(b, &text) == nil {
		out = append(out, reading{"if the body is not a JSON string: it was quoted twice", []byte(text)})
	}
	return out
}

// keyReadings are the ways in which receivers take the wrong bytes of a secret for the key.
func keyReadings(secret string) []reading {
	coded := strings.TrimPrefix(secret, secretPrefix)
	out := []reading{
		{"with the whole secret, whsec_ included, as the key: decode the base64 behind whsec_", []byte(secret)},
		{"with the text behind whsec_ as the key: decode its base64", []byte(coded)},
		{"if the secret has no space or newline around it", key(strings.TrimSpace(secret))},
		{"if the secret begins with whsec_", key(secretPrefix + coded)},
	}
	if raw, err := base64.StdEncoding.DecodeString(secret); err == nil {
		out = append(out, reading{"with the whole secret decoded from base64", raw})
	}
	if raw, err := base64.URLEncoding.DecodeString(coded); err == nil {
		out = append(out, reading{"with the secret decoded from the URL alphabet of base64", raw})
	}
	return out
}

// differsAt gives the first byte at which two texts differ; -1 when they are equal.
func differsAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

var (
	errHeaders = errors.New("must be an object of header names with a text or a list of texts each")
	errBase64  = errors.New("is not base64")
	errBodies  = errors.New("only one of body and body_base64 can be given")
)

// headersOf reads an object of headers; names are compared without regard to case, of a list the texts are joined.
func headersOf(raw json.RawMessage) (map[string]string, error) {
	list := membersOf(raw)
	if list == nil {
		return nil, errHeaders
	}
	out := map[string]string{}
	for _, m := range list {
		var one string
		var many []string
		switch {
		case json.Unmarshal(m.value, &one) == nil:
		case json.Unmarshal(m.value, &many) == nil:
			one = strings.Join(many, " ")
		default:
			var n json.Number // a timestamp is often given as a number
			if json.Unmarshal(m.value, &n) != nil {
				return nil, errHeaders
			}
			one = n.String()
		}
		out[strings.ToLower(strings.TrimSpace(m.name))] = one
	}
	return out, nil
}

func bodyBytes(text, coded string) ([]byte, error) {
	switch {
	case coded == "":
		return []byte(text), nil
	case text != "":
		return nil, errBodies
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(coded))
	if err != nil {
		return nil, errBase64
	}
	return raw, nil
}

// namedSecrets gives an endpoint's secrets, the present one first.
func (s *Service) namedSecrets(ctx context.Context, account, id string) ([]NamedSecret, error) {
	e, err := s.Endpoint(ctx, account, id)
	if err != nil {
		return nil, err
	}
	out := []NamedSecret{{"secret", e.Secret}}
	if e.OldSecret != "" {
		name := "old secret, which signs until " + e.OldUntil.UTC().Format(time.RFC3339)
		if !s.now().Before(e.OldUntil) {
			name = "old secret, which does not sign any more"
		}
		out = append(out, NamedSecret{name, e.OldSecret})
	}
	return out, nil
}

// sentBody gives what was sent under the received id, when that is known.
func (s *Service) sentBody(ctx context.Context, account, endpoint string, r Received) []byte {
	event := strings.TrimPrefix(r.Headers["webhook-id"], "msg_")
	list, _, err := s.Deliveries(ctx, account, endpoint, DeliveryQuery{Event: event, Take: 1})
	if err != nil || len(list) == 0 {
		return nil
	}
	d, err := s.Delivery(ctx, account, endpoint, list[0].ID)
	if err != nil {
		return nil
	}
	return d.Body
}
