package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/webhook"
)

// maxCaptured is the most that is read of a captured request, in bytes.
const maxCaptured = 4 << 20

// webhookCmd looks at webhooks from the receiver's side.
type webhookCmd struct {
	Verify webhookVerifyCmd `cmd:"" help:"Say whether a received request is signed well, and if not, what differs."`
}

type webhookVerifyCmd struct {
	connection `embed:""`
	Secret     string   `placeholder:"whsec_…" xor:"key" required:"" help:"Verify here, with this secret; needs no server."`
	Endpoint   string   `placeholder:"UUID" xor:"key" required:"" help:"Let the server verify with this endpoint's secrets; it also knows the body that it sent."`
	Header     []string `sep:"none" placeholder:"'NAME: VALUE'" help:"A header of the request; then standard input is the body alone."`
	AnyAge     bool     `help:"Do not mind that the request is old."`
}

// Help shows how it is used.
func (c *webhookVerifyCmd) Help() string {
	return `Standard input is the request as it came: an optional request line, the headers, an empty line, and the bytes of the body.

Examples:

    opentact webhook verify --secret "$SECRET" < request.http
    opentact webhook verify --endpoint 01901bf0-0a1b-7c2d-8e3f-405162738495 --any-age < request.http
    opentact webhook verify --secret "$SECRET" --header "webhook-id: $ID" --header "webhook-timestamp: $TIME" --header "webhook-signature: $SIGNATURE" < body.json`
}

func (c *webhookVerifyCmd) Run(ctx context.Context, p *Program) error {
	r, err := c.read(p.In)
	if err != nil {
		return err
	}
	d, err := c.diagnose(ctx, p, r)
	if err != nil {
		return err
	}
	if c.AnyAge {
		d.Findings = slices.DeleteFunc(d.Findings, func(f webhook.Finding) bool { return f.Code == "timestamp_outside_window" })
		d.Valid = d.Matches == "as it is" && len(d.Findings) == 0
	}
	if c.JSON {
		err = printJSON(p.Out, d)
	} else {
		err = explain(p.Out, d)
	}
	if err == nil && !d.Valid {
		err = errors.New("the request does not verify")
	}
	return err
}

// diagnose asks the server, or does the same here.
func (c *webhookVerifyCmd) diagnose(ctx context.Context, p *Program, r webhook.Received) (webhook.Diagnosis, error) {
	if c.Secret != "" {
		return webhook.Diagnose(r, []webhook.NamedSecret{{Name: "secret", Secret: c.Secret}}, time.Now()), nil
	}
	api, err := c.client(p)
	if err != nil {
		return webhook.Diagnosis{}, err
	}
	var d webhook.Diagnosis
	body := map[string]any{"webhook": c.Endpoint, "headers": r.Headers, "body_base64": base64.StdEncoding.EncodeToString(r.Body)}
	return d, advised(api, api.Do(ctx, "POST", "/rest/webhook/debug-signature", body, &d))
}

// read takes headers and body apart.
func (c *webhookVerifyCmd) read(in io.Reader) (webhook.Received, error) {
	r := webhook.Received{Headers: map[string]string{}}
	all, err := io.ReadAll(io.LimitReader(in, maxCaptured+1))
	if err != nil {
		return r, fmt.Errorf("standard input: %w", err)
	}
	if len(all) > maxCaptured {
		return r, fmt.Errorf("the request is longer than %d MiB", maxCaptured>>20)
	}
	head := c.Header
	if r.Body = all; len(head) == 0 {
		if head, r.Body = split(all); len(head) == 0 {
			return r, misuse("webhook verify reads a request from standard input: headers, an empty line, and the body; or give the headers with --header")
		}
	}
	for i, line := range head {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.Contains(strings.TrimSpace(name), " ") {
			if i == 0 && len(c.Header) == 0 {
				continue // the request line
			}
			return r, misuse("%q is not a header like webhook-id: msg_…", line)
		}
		r.Headers[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return r, nil
}

// split gives the lines before the first empty one, and the bytes behind it.
func split(request []byte) (head []string, body []byte) {
	for len(request) > 0 {
		line, rest, _ := bytes.Cut(request, []byte("\n"))
		request = rest
		text := strings.TrimSuffix(string(line), "\r")
		if text == "" {
			break
		}
		head = append(head, text)
	}
	return head, request
}

// explain says in plain words what was found.
func explain(w io.Writer, d webhook.Diagnosis) error {
	if d.Valid {
		_, err := fmt.Fprintf(w, "The request verifies: %s, signed at %s over %d bytes.\n", d.ID, d.Timestamp, d.BodyLength)
		return err
	}
	var b bytes.Buffer
	for _, f := range d.Findings {
		fmt.Fprintf(&b, "- %s\n", f.Message)
	}
	if len(d.Received) > 0 && d.Expected != "" && d.Matches != "as it is" {
		fmt.Fprintf(&b, "\nreceived  %s\nexpected  %s\n", strings.Join(d.Received, " "), d.Expected)
		fmt.Fprintf(&b, "over      %s.%s.<%d bytes of body>\n", d.ID, d.Timestamp, d.BodyLength)
	}
	if d.Matches == "as it is" {
		b.WriteString("\nThe signature itself is right.\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}
