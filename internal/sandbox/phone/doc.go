// Package phone is a simulated telephone: it places and answers real SIP calls, speaks, listens and presses keys.
//
// A Phone (phone.go) owns one SIP endpoint, the ports and the clock of its media; any number of calls run on it. A Call (call.go) is one of
// them, in either direction: the caller of a method says what a person would do, such as Answer, Play, SendKeys, Hangup. Dial makes a phone
// for a single call and ends both together.
//
// What arrives goes event.go (signalling), media.go (which sound was agreed on) and ear.go (the last minutes of what was heard, and when the far
// side fell silent). Bridge (bridge.go) joins two calls.
//
// A phone registers nowhere, follows no redirection, and refuses to be transferred; it never holds more sound than Config.Hear allows.
package phone
