# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# checks: a directory of its own that is the working directory, and a line for each thing that is looked at. To be
# sourced; ends with `exit "$failed"`.

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
umask 077
failed=0

ok() { # TEXT COMMAND…
	local text=$1
	shift
	if "$@" > out 2>&1; then
		echo "ok    $text"
	else
		echo "FAIL  $text: $*"
		sed 's/^/      /' out
		failed=1
	fi
}
refused() { # STATUS PATTERN TEXT COMMAND…
	local status=$1 pattern=$2 text=$3 got
	shift 3
	"$@" > out 2>&1
	got=$?
	if [ "$got" = "$status" ] && grep -q -- "$pattern" out; then
		echo "ok    $text"
	else
		echo "FAIL  $text: exit $got instead of $status, or no '$pattern': $*"
		sed 's/^/      /' out
		failed=1
	fi
}
says() { # PATTERN FILE
	grep -q -- "$1" "$2"
}
