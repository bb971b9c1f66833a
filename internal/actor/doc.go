// Package actor gives a value one owner: a goroutine that runs functions on it, one after the other, which anybody may send.
//
// An Actor (actor.go) has one inbox of functions with a bound. Post never waits and says ErrFull; Ask waits for room and for the function
// to have run; Query is Ask with a result. Run, on a goroutine of the caller's, takes functions out in the order they came in. After Close,
// or the end of Run's context, nothing new is taken, what was taken is run, and Run returns.
//
// Functions must not block: the actor waits for each. The package never starts a goroutine and never touches the value itself.
package actor
