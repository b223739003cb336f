# SPDX-License-Identifier: Apache-2.0
# Every cases/NAME.in is loaded; what is said of it must be cases/NAME.ok. NAME ends in -cfg for libconfig's syntax.
# With UPDATE=1 the .ok files are written instead. The samples that are installed must load without a word.
set -u
cases=$TOP_SRCDIR/tests/conf/cases
dump=$TOP_BUILDDIR/tests/conf/dump
tmp=$(mktemp -d) || exit 99
tmp=$(cd "$tmp" && pwd -P)
trap 'rm -rf "$tmp"' EXIT
failed=0

for in in "$cases"/*.in; do
	name=$(basename "$in" .in)
	case $name in
	*-cfg) file=$tmp/k.cfg ;;
	*) file=$tmp/k.properties ;;
	esac
	rm -f "$tmp"/k.*
	cp "$in" "$file"
	(cd "$tmp" && "$dump" --start "$(basename "$file")") 2>&1 | sed "s,$tmp,DIR,g" >"$tmp/out"
	if [ "${UPDATE:-0}" = 1 ]; then
		cp "$tmp/out" "$cases/$name.ok"
	elif ! diff -u "$cases/$name.ok" "$tmp/out"; then
		echo "FAILED: $name"
		failed=1
	fi
done

for sample in master.properties clone.properties keyclone.cfg; do
	cp "$TOP_SRCDIR/conf/$sample" "$tmp/$sample"
	said=$("$dump" "$tmp/$sample" | grep -e '^error' -e '^warning' | grep -v 'has no effect on a master$')
	if [ -n "$said" ]; then
		echo "FAILED: the sample $sample: $said"
		failed=1
	fi
done

# Every property that has an effect is in the samples of both syntaxes.
for name in $(sed -n 's/^K([a-z_]*, [A-Z]*, "\([^"]*\)".*/\1/p' "$TOP_SRCDIR/src/base/conf_keys.h"); do
	if ! grep -q "^#*$name=" "$TOP_SRCDIR/conf/master.properties" "$TOP_SRCDIR/conf/clone.properties"; then
		echo "FAILED: no sample has $name"
		failed=1
	fi
	if ! grep -qw "${name#*.}" "$TOP_SRCDIR/conf/keyclone.cfg"; then
		echo "FAILED: keyclone.cfg has no $name"
		failed=1
	fi
done

exit $failed
