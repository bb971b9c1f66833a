package call

// State is where a leg is in its life. It only moves forward.
type State string

// The states of a leg.
const (
	Init      State = "init"
	Ringing   State = "ringing"
	Live      State = "live"
	Bridged   State = "bridged"
	Hangup    State = "hangup"
	Destroyed State = "destroyed"
)

// input is what moves a leg.
type input int

const (
	begin  input = iota // the INVITE came or goes out
	refuse              // the call was stored, but never taken
	ring                // 180 or 183
	answer              // 200
	join                // media joined with another leg
	end                 // refused, canceled or hung up
	clean               // nothing of the leg is left
)

// table is all that may happen to a leg; what is not in it does not happen.
var table = map[State]map[input]State{
	"":      {begin: Init, refuse: Hangup},
	Init:    {ring: Ringing, answer: Live, end: Hangup},
	Ringing: {answer: Live, end: Hangup},
	Live:    {join: Bridged, end: Hangup},
	Bridged: {join: Bridged, end: Hangup},
	Hangup:  {clean: Destroyed},
}

// next is the state that an input leads to; false when it leads nowhere.
func (s State) next(in input) (State, bool) {
	to, ok := table[s][in]
	return to, ok
}

// Over says whether the leg has ended.
func (s State) Over() bool { return s == Hangup || s == Destroyed }

// Up says whether the leg is answered and has not ended.
func (s State) Up() bool { return s == Live || s == Bridged }
