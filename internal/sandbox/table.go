package sandbox

import (
	"time"

	"github.com/opentact/opentact/internal/e164"
)

// Kinds of magic numbers.
const (
	Voice = "voice"
	SMS   = "sms"
)

// Number is a magic number and what it does, for people.
type Number struct {
	Number    e164.Number
	Kind      string
	Behaviour string
}

// behaviour is a number with what it does when it is called.
type behaviour struct {
	Number
	acts []act
}

const (
	welcome  = "Hello. This is the sandbox. Your call works. Goodbye."
	greeting = "You have reached the sandbox answering machine. Please leave your message after the tone."
	holdOn   = "One moment please. Your call is being connected."
)

// voiceTable is the part of the network that is known by heart; table tests hold it against the contract.
var voiceTable = []behaviour{
	{Number{"15005550001", Voice, "answers after one ring, says a sentence, hangs up after 10 s"}, []act{ring, answer, say(welcome), stay}},
	{Number{"15005550002", Voice, "busy (486)"}, []act{reject(486, 17)}},
	{Number{"15005550003", Voice, "never answers"}, []act{ring, neverAnswer, reject(480, 19)}},
	{Number{"15005550004", Voice, "rejects (603)"}, []act{reject(603, 21)}},
	{Number{"15005550005", Voice, "not in service (404, Q.850 1)"}, []act{reject(404, 1)}},
	{Number{"15005550006", Voice, "answering machine: greeting, beep, records"}, []act{ring, answer, say(greeting), beep, record}},
	{Number{"15005550007", Voice, "echo"}, []act{ring, answer, echo}},
	{Number{"15005550008", Voice, "answers and sends the digits 1 2 3 4 #"}, []act{ring, answer, pause(500 * time.Millisecond), keys("1234#"), stay}},
	{Number{"15005550009", Voice, "carrier overload (503), works on the next attempt"}, []act{overload, ring, answer, say(welcome), stay}},
	{Number{"15005550010", Voice, "early media (183), then answers"}, []act{early, say(holdOn), answer, say(welcome), stay}},
}

// anyNumber is what every number does that is neither magic nor leased on the platform, local what a leased one does.
var (
	anyNumber = []act{ring, answer, say(welcome), stay}
	local     = []act{transit}
)

// smsTable describes the numbers that the message side of the sandbox knows; it handles them itself.
var smsTable = []Number{
	{"15005550101", SMS, "message delivered after 1 s"},
	{"15005550102", SMS, "message undelivered"},
	{"15005550103", SMS, "message rejected at submit"},
	{"15005550104", SMS, "receipt arrives before the submit answer"},
	{"15005550105", SMS, "throttled twice, then delivered"},
	{"15005550106", SMS, `answers "STOP"`},
	{"15005550107", SMS, "echoes the text back as an inbound message"},
}

// Rule is what the network does with all numbers of a kind that are not magic.
type Rule struct{ Numbers, Behaviour string }

// Rules lists them, the first that fits counts.
func Rules() []Rule {
	return []Rule{
		{"any other number on the platform", "delivered to its owner on the same server"},
		{"any other number", "as +1 500 555 0001 / 0101"},
	}
}

// Numbers lists the magic numbers.
func Numbers() []Number {
	var all []Number
	for _, b := range voiceTable {
		all = append(all, b.Number)
	}
	return append(all, smsTable...)
}

// magic finds the acts of a magic number.
func magic(n e164.Number) ([]act, bool) {
	for _, b := range voiceTable {
		if b.Number.Number == n {
			return b.acts, true
		}
	}
	return nil, false
}
