// Package call runs live calls: it answers and places legs, plays, hears keys, records, rings other parties and joins them.
//
// An Engine owns all calls of this node. A Call is one controlled leg (the a-leg, in either direction) with the legs that its Dials made;
// one goroutine with one inbox of functions owns it. A Leg is a snapshot of one leg, told to the Observer at each change of its State. The
// Router says where a Dial goes. cause.go is the one map between SIP statuses and Q.850 causes, state.go the one table of states.
//
// The path of an inbound call: engine.go takes the dialog · call.go runs the goroutine · answer.go rings and answers, media.go agrees on
// SDP and opens the RTP stream · events.go takes what the far side does · play.go and keys.go serve the script · dial.go forks legs,
// fork.go rings one party, place.go tries its routes · bridge.go joins two legs · record.go taps the sound, writer.go and sink.go write it ·
// end.go takes everything down, in one place, whoever hung up. inbox.go is the queue of a call, registry.go finds calls by their legs.
//
// It knows no accounts, numbers, prices or documents, reads no database, and never blocks the goroutine of a call on the network, a disk
// or a script.
package call
