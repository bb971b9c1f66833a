package sandbox

import "github.com/opentact/opentact/internal/messaging/carrier"

// behaviour is what a simulated phone or its network does with a message.
type behaviour struct {
	receipt  carrier.State
	code     string
	refused  bool   // at submit
	early    bool   // the receipt overtakes the submit answer
	throttle int    // times a message is refused for now
	answer   string // text that comes back
	echo     bool
	text     string // for people
}

var ordinary = behaviour{receipt: carrier.Delivered, text: "message delivered after 1 s"}

// numbers are the magic numbers (running.md, "Sandbox carrier").
var numbers = map[string]behaviour{
	"15005550101": ordinary,
	"15005550102": {receipt: carrier.Undeliverable, code: "001", text: "message undelivered"},
	"15005550103": {refused: true, text: "message rejected at submit"},
	"15005550104": {receipt: carrier.Delivered, early: true, text: "receipt arrives before the submit answer"},
	"15005550105": {receipt: carrier.Delivered, throttle: 2, text: "throttled twice, then delivered"},
	"15005550106": {receipt: carrier.Delivered, answer: "STOP", text: "answers \"STOP\""},
	"15005550107": {receipt: carrier.Delivered, echo: true, text: "echoes the text back as an inbound message"},
}

// order is that of the documentation.
var order = []string{"15005550101", "15005550102", "15005550103", "15005550104", "15005550105", "15005550106", "15005550107"}

// Number is a line of the table, for people.
type Number struct{ Number, Behaviour string }

// Numbers lists the magic numbers.
func Numbers() []Number {
	out := make([]Number, 0, len(order))
	for _, n := range order {
		out = append(out, Number{n, numbers[n].text})
	}
	return out
}
