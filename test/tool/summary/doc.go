// Summary reads the output of "go test -json" and makes it readable: one line for each package as it ends, the whole output of each test that
// failed, and at the very end "N passed, N failed, N skipped". Tests and subtests count one each; so does a package that fails outside its
// tests (it does not compile, panics, leaks). Checks made before the tests are counted in with -check NAME=ok or -check NAME=failed.
//
// Its exit code is 1 when something failed or when no test ran at all, else 0.
package main
