#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# manual: every command and every option of the program is in keyclone(1), and nothing else is.
set -eu -o pipefail

KEYCLONE=${TOP_BUILDDIR:-.}/keyclone
PAGE=${TOP_SRCDIR:-.}/man/keyclone.1
wrong=0

complain()
{
	printf '%s\n' "$*"
	wrong=1
}

# The lines of the page that describe a command: from its item to the next command's or section's.
described()
{
	awk -v name="$1" '
		/^\.It Ic / || /^\.Sh / { on = 0 }
		$0 == ".It Ic " name || index($0, ".It Ic " name " ") == 1 { on = 1 }
		on { print }' "$PAGE"
}

commands=$("$KEYCLONE" --help | sed -n 's/^  \([a-z][a-z-]*\( [a-z][a-z-]*\)\{0,1\}\)  .*/\1/p')
[ -n "$commands" ] || complain "keyclone --help lists no commands"

while IFS= read -r command; do
	text=$(described "$command")
	if [ -z "$text" ]; then
		complain "keyclone(1) lacks the command $command"
		continue
	fi
	# shellcheck disable=SC2086
	options=$("$KEYCLONE" $command --help | sed -n 's/^ *\(-[a-zA-Z], \)\{0,1\} *--\([a-z0-9-]*\).*/\2/p')
	for option in $options; do
		grep -q -E -- "Fl -$option( |$)" <<<"$text" || complain "keyclone(1) lacks --$option of $command"
	done
	while IFS= read -r option; do
		[ -z "$option" ] || grep -qx -- "$option" <<<"$options" ||
			complain "keyclone(1) has --$option for $command, which has none"
	done < <(sed -n 's/^\.It .*Fl -\([a-z0-9][a-z0-9-]*\).*/\1/p' <<<"$text" | sort -u)
done <<<"$commands"

while IFS= read -r command; do
	grep -qx -- "$command" <<<"$commands" || complain "keyclone(1) has the command $command, which there is not"
done < <(sed -n 's/^\.It Ic \([a-z][a-z -]*[a-z]\).*/\1/p' "$PAGE")

# The daemon's own options.
for option in $("${TOP_BUILDDIR:-.}/keycloned" --help | sed -n 's/^ .*--\([a-z-]*\).*/\1/p'); do
	grep -q -E -- "Fl -$option( |$)" "${TOP_SRCDIR:-.}/man/keycloned.8" || complain "keycloned(8) lacks --$option"
done

exit "$wrong"
