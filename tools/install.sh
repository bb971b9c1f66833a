#!/usr/bin/env bash
# install.sh run|test: installs what the server and the README's first call (run) or the tests (test) need from Debian and is not there yet.
# A line of a list is "path-or-program package": when the program is on the PATH, or the path exists (a pattern may be used), nothing is done.
set -euo pipefail

run_list='
flite                                flite
espeak-ng                            espeak-ng
pocketsphinx_continuous              pocketsphinx
/usr/share/pocketsphinx/model/en-us  pocketsphinx-en-us
ffmpeg                               ffmpeg
curl                                 curl
jq                                   jq
'
test_list="$run_list"'
gcc                                  gcc
/usr/lib/postgresql/*/bin/initdb     postgresql
sipp                                 sip-tester
sox                                  sox
python3                              python3
strace                               strace
'

case "${1:-}" in
run) list=$run_list ;;
test) list=$test_list ;;
*)
	echo "usage: install.sh run|test" >&2
	exit 2
	;;
esac

missing=()
while read -r thing package; do
	[ -n "$thing" ] || continue
	case "$thing" in
	/*) compgen -G "$thing" >/dev/null || missing+=("$package") ;;
	*) command -v "$thing" >/dev/null || missing+=("$package") ;;
	esac
done <<<"$list"
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing from Debian: ${missing[*]}"
if ! command -v apt-get >/dev/null; then
	echo "no apt-get here: install by other means what Debian calls ${missing[*]}" >&2
	exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "as root, please: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	as_root=(sudo)
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@"; }
apt update
apt install -y --no-install-recommends "${missing[@]}"
