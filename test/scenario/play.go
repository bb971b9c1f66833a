package scenario

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/test/fake"
	"github.com/opentact/opentact/test/scenario/house"
)

// player carries out one script against one server.
type player struct {
	server   *house.Server
	client   *house.Client
	customer *fake.Customer
	sockets  map[string]*house.Socket
	values   map[string]string
	header   http.Header
	basic    string

	last   any // the last document
	answer *house.Answer
}

// stage says how a script's server is made.
type stage struct {
	files  fs.FS
	binary string
	data   string
	db     string
}

// play starts what the script needs, carries it out and stops the server, which has to end well. The error names the step.
func (st stage) play(ctx context.Context, name string) (err error) {
	lines, err := read(st.files, name, 0)
	if err != nil {
		return err
	}
	opts := house.Options{Binary: st.binary, Data: st.data, DB: st.db}
	if len(lines) > 0 && lines[0].verb == "server" {
		opts.Flags = strings.Fields(lines[0].rest)
		lines = lines[1:]
	}
	p := &player{sockets: map[string]*house.Socket{}, header: http.Header{}}
	if p.customer, err = fake.NewCustomer(); err != nil {
		return err
	}
	defer p.customer.Close()
	if p.server, err = house.Start(ctx, opts); err != nil {
		return err
	}
	p.client = p.server.Client()
	p.values = map[string]string{
		"customer": p.customer.URL, "base": p.client.Base, "sip": p.server.SIP, "token": house.Token, "random": digits(7),
	}
	defer func() {
		for _, s := range p.sockets {
			s.Close()
		}
		p.client.HTTP.CloseIdleConnections()
		if err != nil {
			err = fmt.Errorf("%w\n--- log of the server\n%s", err, p.server.Log())
		}
		if code, stop := p.server.Stop(); (stop != nil || code != 0) && err == nil {
			err = fmt.Errorf("the server ended with code %d: %v\n%s", code, stop, p.server.Log())
		}
		if err == nil {
			err = p.broken()
		}
	}()
	for _, l := range lines {
		if err := p.step(ctx, l); err != nil {
			return fmt.Errorf("%s\n  %w\n--- last document\n%s", l, err, p.shown())
		}
	}
	return nil
}

// broken finds signs of a broken program in the log.
func (p *player) broken() error {
	for _, sign := range []string{"panic", `"level":"ERROR"`} {
		if found := p.server.Grep(sign); len(found) > 0 {
			return fmt.Errorf("the server's log says:\n%s", strings.Join(found, "\n"))
		}
	}
	return nil
}

func (p *player) shown() string {
	if p.answer != nil && p.last == nil {
		return fmt.Sprintf("status %d, %d bytes of %s", p.answer.Status, len(p.answer.Body), p.answer.Header.Get("Content-Type"))
	}
	text := house.Text(p.last)
	if len(text) > 4000 {
		text = text[:4000] + "…"
	}
	return text
}

// value is what ${name} stands for.
func (p *player) value(name string) (string, bool) {
	if socket, ok := strings.CutSuffix(name, ".cursor"); ok && p.sockets[socket] != nil {
		return p.sockets[socket].Cursor(), true
	}
	v, ok := p.values[name]
	return v, ok
}

func (p *player) step(ctx context.Context, l line) error {
	rest, err := fill(l.rest, p.value)
	if err != nil {
		return err
	}
	if methods[l.verb] {
		return p.request(ctx, l.verb, rest)
	}
	return verbs[l.verb](p, ctx, rest)
}

// digits gives n random decimal digits.
func digits(n int) string {
	var b strings.Builder
	for _, c := range []byte(ident.Secret(n)) {
		b.WriteByte('0' + c%10)
	}
	return b.String()
}
