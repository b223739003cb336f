#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each fuzz target over its corpus: tests/fuzz/fuzz_NAME over tests/fuzz/corpus/NAME.
set -eu
top_builddir=${TOP_BUILDDIR:-.}
top_srcdir=${TOP_SRCDIR:-.}
for target in "$top_builddir"/tests/fuzz/fuzz_*; do
	[[ -x $target && ! -d $target && $target != *.o ]] || continue
	name=${target##*/fuzz_}
	if [[ -d $top_srcdir/tests/fuzz/corpus/$name ]]; then
		echo "fuzz_$name"
		case $("$target" -help=1 2>&1 || true) in
		*libFuzzer*) "$target" -runs=0 "$top_srcdir/tests/fuzz/corpus/$name" ;;
		*) "$target" "$top_srcdir/tests/fuzz/corpus/$name" ;;
		esac
	fi
done
