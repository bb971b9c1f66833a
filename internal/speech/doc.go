// Package speech speaks and understands: text becomes 8 kHz sound for a call, a recording becomes words.
//
// [Engines] is what the rest of the server uses. engines.go chooses engines by name from the table in drivers.go, a voice for a request, and
// tells what is not installed (Check). speak.go is the path of a text: memory, then disk, then one run of the engine for all who ask for the same
// at the same time; silence before the first sound is cut. cache_memory.go and cache_disk.go bound what is kept. The names of the contract (Voice, Request, Synthesizer …) live in
// speech/engine, so that drivers need not import this package; each driver is a folder beside it and is proved by speechtest.Exercise.
//
// It charges nobody, knows no call, and never passes a customer's text to a shell or on a command line.
package speech
