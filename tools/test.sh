#!/usr/bin/env bash
# test.sh [all|checks|unit|race|scenario]: runs tests and ends with one line "N passed, N failed, N skipped".
#   all       checks, then every test once, with the race detector but for test/sim and test/demo
#   checks    format, vet, staticcheck (no tests; ends with the first failure's code)
#   unit      tests of cmd and internal without the race detector
#   race      all without the checks
#   scenario  whole-server scenarios, with the race detector
# PKG="./internal/fault/... ./internal/money" narrows checks and tests to these packages; ARGS="-run X -count=1" is handed to go test.
#
# Everything is compiled once: vet and staticcheck read the race detector's build of the dependencies, which most tests need anyway.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

what=${1:-all}
# SQLite is C made into Go: watched by the race detector it is twenty times slower, and its own threads are not ours to test. The rest is watched, also the Go
# driver: it uses sync.Map, and the linker may take its copies of generic code for all, where the detector then misses what orders two accesses.
build=(-race)
for p in sqlite/lib libc memory mathutil; do build+=("-gcflags=modernc.org/$p=-race=false"); done
default=(./...)
case "$what" in
all | checks | race) ;;
unit)
	build=()
	default=(./cmd/... ./internal/...)
	;;
scenario) default=(./test/scenario/...) ;;
*)
	echo "usage: test.sh [all|checks|unit|race|scenario]" >&2
	exit 2
	;;
esac
read -r -a packages <<<"${PKG:-${default[*]}}"
# Unless packages are named, those that take longest begin first, so that none runs alone at the end, and two run by themselves and without the race detector,
# from the parts of the server that other tests start anyway: the simulation has each world on one processor, where the detector finds little, and the demo
# listens to speech as a customer would, from a server that is not slowed down.
long=() single=()
if [ -z "${PKG:-}" ] && [ "$what" != scenario ]; then
	[ "$what" = unit ] || long=(./test/scenario ./test/crash ./test/docs ./test/nodes) single=(./test/sim ./test/demo)
fi
read -r -a arguments <<<"${ARGS:-}"
results=()
failed=0

step() { printf '\n== %s\n' "$*"; }

check() { # check NAME COMMAND...
	local name=$1
	shift
	step "$name"
	if "$@"; then
		results+=(-check "$name=ok")
	else
		results+=(-check "$name=failed")
		failed=1
	fi
}

linters() { (cd tools && go build -buildvcs=false -o ../bin/tools/ honnef.co/go/tools/cmd/staticcheck mvdan.cc/gofumpt); }

format() {
	local dirs files
	mapfile -t dirs < <(go list -e -f '{{.Dir}}' "${packages[@]}")
	mapfile -t files < <(for d in "${dirs[@]}"; do compgen -G "${d#"$PWD"/}/*.go"; done)
	[ ${#files[@]} -gt 0 ] || return 1
	local bad
	bad=$(bin/tools/gofumpt -l "${files[@]}") || return 1
	[ -z "$bad" ] || {
		printf 'not formatted (make fmt mends it):\n%s\n' "$bad"
		return 1
	}
}

checks() {
	check linters linters
	check format format
	check vet go vet "${build[@]}" "${packages[@]}"
	check staticcheck env GOFLAGS="${GOFLAGS:-} ${build[*]}" bin/tools/staticcheck "${packages[@]}"
}

tests() {
	step "tests: ${packages[*]}"
	go build -race -buildvcs=false -o bin/tools/ ./test/tool/pgrun ./test/tool/summary || exit 1
	local rest=("${packages[@]}")
	[ ${#single[@]} -eq 0 ] || mapfile -t rest < <(go list "${packages[@]}" | grep -Ev '/test/(sim|demo)$')
	{
		[ ${#single[@]} -eq 0 ] || CGO_ENABLED=0 go test -p 1 -vet=off -timeout 8m -json "${arguments[@]}" "${single[@]}"
		bin/tools/pgrun go test "${build[@]}" -p 3 -vet=off -timeout 8m -json "${arguments[@]}" "${long[@]}" "${rest[@]}" # one of three waits
	} | bin/tools/summary "${results[@]}"
}

case "$what" in
checks)
	checks
	exit $failed
	;;
all) checks ;;
esac
tests
