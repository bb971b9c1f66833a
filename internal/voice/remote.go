package voice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/fault"
)

// Times of a command that goes to another node.
const (
	remoteWait = 5 * time.Second // for the answer, besides what the command itself takes
	keyPause   = time.Second     // at most between two keys
)

// Wire carries commands to the node that has a call; bus is it.
type Wire interface {
	// Request fails at once when nobody replies on the subject.
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	Reply(subject string, f func(data []byte) []byte) (unsubscribe func(), err error)
}

// elsewhereError is a live call of another node.
type elsewhereError struct{ node string }

func (e *elsewhereError) Error() string { return "voice: the call is on node " + e.node }

// errand is a command for a call of another node.
type errand struct {
	Do      string        `json:"do"` // hangup, push or keys
	Account string        `json:"account"`
	Call    string        `json:"call"`
	Q850    int           `json:"q850,omitempty"`
	XML     []byte        `json:"xml,omitempty"` // as base64: JSON would make six bytes of each angle
	Append  bool          `json:"append,omitempty"`
	Digits  string        `json:"digits,omitempty"`
	Leg     string        `json:"leg,omitempty"`
	Each    time.Duration `json:"each,omitempty"`
}

// wait is how long it may take.
func (e *errand) wait() time.Duration {
	return remoteWait + time.Duration(len(e.Digits))*(e.Each+keyPause)
}

// verdict is what became of it; empty when it was done.
type verdict struct {
	Code    fault.Code             `json:"code,omitempty"`
	Message string                 `json:"message,omitempty"`
	Fields  map[string]fault.Field `json:"fields,omitempty"`
}

func subjectOf(node string) string { return "voice.node." + node }

// notHere says why a call that the engine does not have cannot be commanded: it is over, or on another node.
func (s *Service) notHere(ctx context.Context, c *Call) error {
	if c.over() || c.Node == s.cfg.Node || s.cfg.Nodes == nil {
		return fault.New(fault.CallEnded)
	}
	dead, err := s.cfg.Nodes.Dead(ctx, []string{c.Node})
	if err != nil {
		return err
	}
	if slices.Contains(dead, c.Node) { // its record will be closed in a moment
		return fault.New(fault.CallEnded)
	}
	return &elsewhereError{c.Node}
}

// forward sends a command to the node that has the call when that is what err says; any other err stays.
func (s *Service) forward(ctx context.Context, err error, e errand) error {
	var at *elsewhereError
	if !errors.As(err, &at) {
		return err
	}
	if s.cfg.Bus == nil {
		return unreached(at)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.wait())
	defer cancel()
	answer, err := s.cfg.Bus.Request(ctx, subjectOf(at.node), b)
	if err != nil {
		return unreached(fmt.Errorf("%w: %w", at, err))
	}
	var v verdict
	if err := json.Unmarshal(answer, &v); err != nil {
		return fmt.Errorf("answer of node %s: %w", at.node, err)
	}
	if v.Code != "" {
		return &fault.Error{Code: v.Code, Message: v.Message, Fields: v.Fields}
	}
	return nil
}

// unreached is the answer when the nodes have no bus in common, or the other one is silent.
func unreached(cause error) error {
	return &fault.Error{Code: fault.Unavailable, Message: "The call is on another node, which cannot be reached", Cause: cause}
}

// serveErrands does what other nodes ask of the calls of this one, until stop is called.
func (s *Service) serveErrands(ctx context.Context) (stop func(), err error) {
	if s.cfg.Bus == nil {
		return func() {}, nil
	}
	stop, err = s.cfg.Bus.Reply(subjectOf(s.cfg.Node), func(data []byte) []byte {
		var v verdict
		if err := s.run(ctx, data); err != nil {
			f := fault.Of(err)
			if f == nil {
				s.log.Error("command of another node", "error", err)
				f = fault.New(fault.Internal)
			}
			v = verdict{f.Code, f.Message, f.Fields}
		}
		return encode(v)
	})
	if err != nil {
		return nil, fmt.Errorf("commands of other nodes: %w", err)
	}
	return stop, nil
}

// run does an errand. What this node does not have either is over: it goes to nobody else.
func (s *Service) run(ctx context.Context, data []byte) error {
	var e errand
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.wait())
	defer cancel()
	var err error
	switch e.Do {
	case "hangup":
		err = s.HangupCall(ctx, e.Account, e.Call, e.Q850)
	case "push":
		err = s.PushFlow(ctx, e.Account, e.Call, string(e.XML), e.Append)
	case "keys":
		err = s.SendKeys(ctx, e.Account, e.Call, e.Digits, e.Leg, e.Each)
	default:
		err = fmt.Errorf("unknown command %q", e.Do)
	}
	return err
}
