// Package arch holds the house plan as a test: it parses every Go file of the tree and prints each place that breaks a rule.
//
// ranks_test.go is the plan itself: the table of packages and their ranks, the few allowed exceptions and their reasons. tree_test.go reads the
// files. imports_test.go, placement_test.go, shape_test.go, state_test.go and text_test.go hold the rules: who may import whom, where SQL and HTTP
// may stand, sizes and package comments, package-level state, words that must not be left behind. arch_test.go runs all rules on the tree;
// samples_test.go runs each on a tiny tree made to break it, and on one that breaks none.
//
// The rules read syntax only: nothing is type-checked, built or executed, so the test takes about a second and works on a tree that does not compile.
package arch
