#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The unit is understood by systemd, and exposes as little as we say: at most 2.5.
set -eu
limit=25 # in tenths

command -v systemd-analyze > /dev/null || { echo "no systemd-analyze"; exit 77; }
systemd-analyze security --help 2>&1 | grep -q -- --offline || { echo "systemd-analyze knows no --offline"; exit 77; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for unit in "$TOP_BUILDDIR"/conf/*.service; do
	name=$(basename "$unit")
	if grep -q '@[a-z]*@' "$unit"; then
		echo "$name: a path was not filled in"
		exit 1
	fi

	# verify wants programs that exist; what they are does not matter
	sed -E 's,^(Exec[A-Za-z]*)=[^ ]*,\1=/bin/true,' "$unit" > "$dir/$name"
	systemd-analyze verify --man=no "$dir/$name" > "$dir/verify" 2>&1 || true
	if grep -F "$name" "$dir/verify"; then
		echo "$name: systemd does not understand it"
		exit 1
	fi

	systemd-analyze security --offline=true --no-pager "$dir/$name" > "$dir/security" 2>&1 || true
	exposure=$(sed -n 's/.*Overall exposure level.*: \([0-9]*\)\.\([0-9]\).*/\1\2/p' "$dir/security")
	if [ -z "$exposure" ]; then
		cat "$dir/security"
		echo "$name: systemd-analyze says nothing"
		exit 77
	fi
	if [ $((10#$exposure)) -gt "$limit" ]; then
		cat "$dir/security"
		echo "$name: exposure of $exposure tenths, more than $limit"
		exit 1
	fi
	echo "$name: exposure of $exposure tenths"
done
