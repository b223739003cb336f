#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What we write, age, zstd, tar, sha256sum and signify read; what age writes, we read. Nothing of the product but its
# file format takes part.
set -u
for tool in age age-keygen zstd tar sha256sum python3; do
	command -v "$tool" >/dev/null || { echo "no $tool: skipped"; exit 77; }
done
signify=$(command -v signify-openbsd || command -v signify || true)
tool=${TOP_BUILDDIR:-.}/tests/interop/seal_tool
on_tty=$(realpath "${TOP_SRCDIR:-.}/tests/interop/on_tty.py")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0

check() { # description, command...
	local what=$1
	shift
	if "$@"; then echo "ok: $what"; else echo "FAILED: $what"; failed=1; fi
}

fails_with() { # status, text in the message, command...
	local status=$1 text=$2
	shift 2
	"$@" >/dev/null 2>err
	local got=$?
	[ $got -eq "$status" ] && grep -q -- "$text" err || { echo "status $got: $(cat err)"; return 1; }
}

with_tty() { python3 "$on_tty" "$@"; }

password='correct horse battery'
printf '%s\n' "$password" >pw
printf 'something else\n' >wrong
mkdir keys
head -c 3000000 /dev/urandom >db
head -c 2000000 /dev/zero >>db
printf 'a master key\n' >keydb.key
chmod 600 keydb.key

# ---- ours, read by others ----
"$tool" seal pw keys db keydb.key sealed.age 2>/dev/null || exit 1
check "age decrypts with the password" with_tty "$password" age -d -o sealed.tar.zst sealed.age
check "zstd knows the frame" zstd -qt sealed.tar.zst
check "zstd decompresses" zstd -qd sealed.tar.zst -o sealed.tar
mkdir tree
check "tar extracts" tar xf sealed.tar -C tree
check "the members come in order" test "$(tar tf sealed.tar | tr '\n' ' ')" = \
	"manifest.json keydb.sqlite files/Companion/keydb.key SHA256SUMS SHA256SUMS.sig "
check "sha256sum agrees" bash -c 'cd tree && sha256sum --quiet --strict -c SHA256SUMS'
check "the database is the same" cmp db tree/keydb.sqlite
check "the companion is the same" cmp keydb.key tree/files/Companion/keydb.key
check "the manifest is JSON" python3 -c 'import json; json.load(open("tree/manifest.json"))'
if [ -n "$signify" ]; then
	check "signify agrees" "$signify" -V -q -p keys/signing.pub -m tree/SHA256SUMS -x tree/SHA256SUMS.sig
	sed -i 's/^./0/' tree/SHA256SUMS
	check "signify sees a change" bash -c "! $signify -V -q -p keys/signing.pub -m tree/SHA256SUMS \
		-x tree/SHA256SUMS.sig 2>/dev/null"
else
	echo "no signify: its part is left out"
fi
mkdir out
check "we read it too" "$tool" open pw keys sealed.age out
check "and get the same database" cmp db out/keydb.sqlite

# ---- memory: below 24 MB in either direction, whatever the size ----
peak_below() { # KB, command...
	local limit=$1 peak
	shift
	peak=$("$@" 2>&1 | sed -n 's/.*peak \([0-9]*\) KB.*/\1/p')
	[ -n "$peak" ] && [ "$peak" -lt "$limit" ] || { echo "peak: ${peak:-unknown} KB"; return 1; }
}
for i in 1 2 3 4 5 6 7 8 9 10; do cat db; done >large
check "little memory to write" peak_below 24576 "$tool" seal pw keys large keydb.key large.age
check "little memory to read" peak_below 24576 "$tool" open pw keys large.age out
check "the large database is the same" cmp large out/keydb.sqlite
check "bounded memory at level 19" peak_below 131072 "$tool" seal pw keys db keydb.key level19.age 19
check "little memory to read that" peak_below 24576 "$tool" open pw keys level19.age out
rm -f large large.age level19.age

# ---- what we refuse ----
check "wrong password" fails_with 65 "sealed.age: wrong password" "$tool" open wrong keys sealed.age out
head -c 1000000 sealed.age >short.age
check "cut file" fails_with 65 "cut short" "$tool" open pw keys short.age out
cp sealed.age flipped.age
printf 'x' | dd of=flipped.age bs=1 seek=2000000 conv=notrunc 2>/dev/null
check "changed file" fails_with 65 "damaged" "$tool" open pw keys flipped.age out
check "foreign file" fails_with 65 "db: not an age file" "$tool" open pw keys db out
mkdir otherkeys
"$tool" seal pw otherkeys db keydb.key other.age 2>/dev/null
check "another signer" fails_with 65 "KC_ESIGNATURE" "$tool" open pw keys other.age out

# A tar that is not ours, in the right wrapping.
mkdir evil && ln -s /etc/passwd evil/keydb.sqlite && cp tree/manifest.json evil/
tar cf - -C evil manifest.json keydb.sqlite | zstd -q -1 >evil.zst
with_tty "$password" age -p -o evil.age evil.zst >/dev/null
check "a link in the tar" fails_with 65 "keydb.sqlite: not a plain file" "$tool" open pw keys evil.age out
tar cf - -C evil --transform 's,^manifest.json,../manifest.json,' -P manifest.json | zstd -q -1 >evil.zst
rm evil.age && with_tty "$password" age -p -o evil.age evil.zst >/dev/null
check "a path upwards in the tar" fails_with 65 "dots" "$tool" open pw keys evil.age out
cat tree/manifest.json | zstd -q -1 --long=27 >evil.zst
rm evil.age && with_tty "$password" age -p -o evil.age evil.zst >/dev/null
check "a window over the limit" fails_with 65 "window over 8 MB" "$tool" open pw keys evil.age out

# ---- theirs, read by us ----
age-keygen -o id 2>/dev/null
recipient=$(age-keygen -y id)
for size in 0 1 65535 65536 65537 200000; do
	head -c $size /dev/urandom >plain
	age -r "$recipient" -o theirs.age plain
	"$tool" decrypt identity id theirs.age >back
	check "we read age -r, $size bytes" cmp plain back
	"$tool" encrypt "$recipient" <plain >ours.age
	age -d -i id ours.age >back2
	check "age -i reads ours, $size bytes" cmp plain back2
	rm -f theirs.age
done
with_tty "$password" age -p -o theirs.age plain >/dev/null
"$tool" decrypt password pw theirs.age >back
check "we read age -p" cmp plain back
age -a -r "$recipient" -o armored.age plain
check "armor is refused by its name" fails_with 65 "armored" "$tool" decrypt identity id armored.age
age-keygen -o id2 2>/dev/null
age -r "$recipient" -o theirs2.age plain
check "another identity" fails_with 65 "no identity matches" "$tool" decrypt identity id2 theirs2.age
exit $failed
