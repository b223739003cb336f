#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every command and property that a message tells an administrator to use exists.
set -eu
keyclone="$TOP_BUILDDIR/keyclone"
page="$TOP_BUILDDIR/man/keyclone-messages.7"

[ -x "$keyclone" ] || { echo "keyclone is not built"; exit 77; }
failed=0

# \fBkeyclone clone list\fR, \fBcert export\fR: one word or two, then arguments
commands=$(sed 's/\\-/-/g' "$page" | grep -oE '\\fB(keyclone (-c FILE )?|(key|cert|trust|clone|backup|diverged|config) )[a-z][a-z-]*( [a-z][a-z-]*)?' |
	sed -E 's/^\\fB(keyclone )?(-c FILE )?//' | sort -u)
[ -n "$commands" ]
while read -r first second; do
	if ! "$keyclone" "$first" ${second:+"$second"} --help > /dev/null 2>&1; then
		echo "no such command: keyclone $first $second"
		failed=1
	fi
done <<< "$commands"

properties=$(grep -oE '(replication|backup|restore|keydb|keystore|truststore|tls)\.[A-Z][A-Za-z]+' "$page" | sort -u)
[ -n "$properties" ]
for name in $properties; do
	grep -qF "$name" "$TOP_SRCDIR/man/keyclone.properties.5" || { echo "no such property: $name"; failed=1; }
done
echo "$(wc -l <<< "$commands") commands, $(wc -w <<< "$properties") properties"
exit $failed
