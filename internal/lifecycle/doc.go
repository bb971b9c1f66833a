// Package lifecycle starts the parts of a program in stages and stops them in reverse.
//
// A Part is a name, a stage and a function that runs until its context ends. Group.Run (group.go) starts stage by stage: the next
// stage begins when all parts of the one before have called ready. It stops when its context ends or the first part fails: the last
// stage's context ends, its parts are waited for, then the stage before.
//
// The package neither restarts a part nor catches signals; whoever calls Group.Run does.
package lifecycle
