// Package failpoint names the moments at which a crash is most likely to show a broken promise, so that a test can end the program exactly there.
//
// The code under test calls Hit with a name of the list in names.go, once for each name. In an ordinary build Hit is empty and costs nothing
// (off.go). Built with the tag failpoint (on.go) it counts, and the environment says at which count something happens:
//
//	OPENTACT_TEST_FAILPOINT="db.committed:7"                   the 7th hit kills the process with SIGKILL
//	OPENTACT_TEST_FAILPOINT="db.committed:7:exit"              the process exits with code 3, deferred work undone
//	OPENTACT_TEST_FAILPOINT="db.committed:7:sleep=5s,jobs.handled:1"
//
// It never changes what a program does that was built without the tag.
package failpoint
