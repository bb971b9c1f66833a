// Package engine is what the speech engines share: the words of the subject ([Voice], [Request], [Transcript]), the two contracts ([Synthesizer],
// [Recognizer]), the errors, and [Run], which runs a program for one sentence.
//
// speech.go has the contracts, text.go makes a customer's text fit to be spoken, run.go starts programs. Package speech
// repeats these names and chooses among engines; drivers and their test suite import only this package.
//
// It never uses a shell, never puts a customer's text on a command line, and never leaves a program running behind its context.
package engine
