#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# certificates: keyclone-certificates(7) answers each step of the procedures that it maps, once, and what it tells an
# administrator to use, commands, options and properties, exists.
set -eu -o pipefail

KEYCLONE=${TOP_BUILDDIR:-.}/keyclone
PAGE=${TOP_SRCDIR:-.}/man/keyclone-certificates.7
PROPERTIES=${TOP_SRCDIR:-.}/man/keyclone.properties.5
wrong=0 looked=0

complain()
{
	printf '%s\n' "$*"
	wrong=1
}

# steps PREFIX LAST: the items PREFIX1 to PREFIXLAST.
steps()
{
	local i

	for ((i = 1; i <= $2; i++)); do
		[ "$1$i" != "4.4, 13" ] || continue # the document has none
		[ "$(grep -c -x -F -e ".It $1$i" -e ".It \\&$1$i" "$PAGE")" = 1 ] || complain "step $1$i is not there once"
	done
}

for section in 2,13 3,3 4,15 6,13 7,11 9,6 11,4; do
	steps "4.${section%,*}, " "${section#*,}"
done
for section in 4.1 4.5 4.8 4.10 2.18.1; do
	grep -q -x -F ".It $section" "$PAGE" || complain "section $section is not there"
done
steps 'Prereq. ' 2
steps 'Initial ' 2
steps 'Manager ' 4
steps 'Agent ' 5
steps 'After ' 2
steps 'Renewal ' 8
steps '2.18.1.1, ' 3
steps '2.18.1.2, ' 2
steps '2.18.1.2 CA ' 5
steps '2.18.1.2 Self ' 6
steps '2.18.1.3, ' 6
steps '2.18.1.4, ' 4
steps 'In short ' 4
steps 'Web console ' 5

# Each command of the page on a line of its own, as it is typed: those of examples and quotations, and those of sentences.
typed()
{
	sed -e ':a' -e '/\\e$/{N;s/\\e\n */ /;ba' -e '}' "$PAGE" |
		sed -n -e 's/^.*# *keyclone \([a-z-].*\)$/\1/p' -e 's/^\.Q[ql] keyclone \(.*\)$/\1/p' |
		sed -e 's/   *(.*//' -e 's/ [<>] .*//' -e 's/ [.,;:]$//'
	sed -n -e 's/^\.Ic \(.*\)$/\1/p' -e 's/^\.Pq Ic \(.*\)$/\1/p' "$PAGE" |
		sed -e 's/ No [a-z ]*/ , /g' -e 's/ Ic / , /g' |
		sed -e 's/ \(Ar\|Ns\|Cm\) [^ ]*//g' -e 's/ Fl -/ --/g' -e 's/ *, */\n/g' |
		sed -e 's/ [.;:]$//' -e '/^$/d'
}

commands=$("$KEYCLONE" --help | sed -n 's/^  \([a-z][a-z-]*\( [a-z][a-z-]*\)\{0,1\}\)  .*/\1/p')
while read -r first second rest; do
	command=$first
	case $second in [a-z]*) command="$first $second" ;; *) rest="$second $rest" ;; esac
	looked=$((looked + 1))
	grep -q -x -F -- "$command" <<<"$commands" || {
		complain "there is no command $command"
		continue
	}
	# shellcheck disable=SC2086
	options=$("$KEYCLONE" $command --help | sed -n 's/^ *\(-[a-zA-Z], \)\{0,1\} *--\([a-z0-9-]*\).*/\2/p')
	for option in $(grep -o -E -- '(^| )--[a-z0-9-]+' <<<"$rest" | sed 's/ *--//'); do
		[ "$option" = json ] || grep -q -x -F -- "$option" <<<"$options" || complain "$command has no --$option"
	done
done < <(typed | sort -u)
[ "$looked" -gt 30 ] || complain "only $looked commands were found"

for name in $(grep -o -E '\b(replication|backup|restore|tls|cert|keystore|truststore)\.[A-Z][A-Za-z]+' "$PAGE" | sort -u); do
	grep -q -E "^\.It Sy $name( |$)" "$PROPERTIES" || complain "there is no property $name"
done

exit "$wrong"
