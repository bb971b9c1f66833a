package scenario

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// verb carries out one kind of step.
type verb func(p *player, ctx context.Context, rest string) error

var verbs = map[string]verb{
	"as": (*player).as, "header": (*player).setHeader, "status": (*player).status, "expect": (*player).expect, "save": (*player).save, "set": (*player).set,
	"await": (*player).await, "socket": (*player).socket, "event": (*player).event, "close": (*player).closeSocket, "page": (*player).page,
	"received": (*player).received, "sound": (*player).sound, "sipp": (*player).sipp,
}

var methods = map[string]bool{"GET": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true}

func known(name string) bool { return verbs[name] != nil || methods[name] || name == "server" }

func (p *player) request(ctx context.Context, method, rest string) error {
	path, body, _ := strings.Cut(rest, " ")
	if first, more, ok := strings.Cut(path, "\n"); ok {
		path, body = first, more+" "+body
	}
	a, err := p.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	p.answer, p.last = a, a.Doc
	return nil
}

func (p *player) send(ctx context.Context, method, path, body string) (*house.Answer, error) {
	h := p.header
	p.header = http.Header{}
	if p.basic != "" {
		h.Set("Authorization", p.basic)
	}
	return p.client.Request(ctx, method, path, []byte(strings.TrimSpace(body)), h)
}

func (p *player) as(_ context.Context, who string) error {
	p.basic = ""
	switch {
	case who == "admin":
		p.client.Token = house.Token
	case who == "nobody":
		p.client.Token = ""
	case strings.HasPrefix(who, "basic "):
		p.client.Token, p.basic = "", "Basic "+base64.StdEncoding.EncodeToString([]byte(who[len("basic "):]))
	default:
		p.client.Token = who
	}
	return nil
}

func (p *player) setHeader(_ context.Context, rest string) error {
	name, value, ok := strings.Cut(rest, " ")
	if !ok {
		return fmt.Errorf("header wants a name and a value")
	}
	p.header.Set(name, value)
	return nil
}

func (p *player) status(_ context.Context, rest string) error {
	want, err := strconv.Atoi(rest)
	if err != nil {
		return err
	}
	if p.answer == nil || p.answer.Status != want {
		return fmt.Errorf("the status is %d", p.answer.Status)
	}
	return nil
}

func (p *player) expect(_ context.Context, rest string) error {
	conds, err := house.Conditions(rest)
	if err != nil {
		return err
	}
	return house.Check(p.last, conds)
}

func (p *player) save(_ context.Context, rest string) error {
	name, path, _ := strings.Cut(rest, " ")
	v, ok := house.Doc{Value: p.last}.Find(path)
	if !ok || v == nil {
		return fmt.Errorf("there is no %s", path)
	}
	p.values[name] = house.Text(v)
	return nil
}

func (p *player) set(_ context.Context, rest string) error {
	name, value, _ := strings.Cut(rest, " ")
	p.values[name] = value
	return nil
}

// limit cuts a duration off the front.
func limit(rest string) (time.Duration, string, error) {
	text, rest, _ := strings.Cut(rest, " ")
	d, err := time.ParseDuration(text)
	return d, rest, err
}

func (p *player) await(ctx context.Context, rest string) error {
	d, rest, err := limit(rest)
	if err != nil {
		return err
	}
	what, cond, ok := strings.Cut(rest, " => ")
	if !ok {
		return fmt.Errorf("await wants a request and a condition with => between")
	}
	conds, err := house.Conditions(cond)
	if err != nil {
		return err
	}
	method, target, _ := strings.Cut(what, " ")
	path, body, _ := strings.Cut(target, " ")
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	a, err := p.client.Await(ctx, method, path, []byte(body), conds)
	if err != nil {
		return err
	}
	p.answer, p.last = a, a.Doc
	return nil
}

func (p *player) page(_ context.Context, rest string) error {
	path, body, _ := strings.Cut(rest, " ")
	if first, more, ok := strings.Cut(path, "\n"); ok {
		path, body = first, more+" "+body
	}
	p.customer.Put(path, pageOf(body))
	return nil
}

// document turns a value into what decoding its JSON gives.
func document(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var doc any
	return doc, json.Unmarshal(b, &doc)
}
