#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# companions: a directory and a file that go with the key database: changes and deletions, modes, what is not there, what
# somebody else changed, the first take-over, a worker that is killed, backups by hand.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin companions sqlite3 age zstd jq python3

make_master m
make_clone c1
mkdir -m 0750 tokens
mkdir -m 0710 tokens/one tokens/empty
printf 'first' >tokens/one/object
printf 'quiet' >tokens/.lock
printf 'a keystore' >store.p12
chmod 0640 tokens/one/object
touch -d '2020-02-02 02:02:02 UTC' tokens/one/object

listing()
{
	(cd "$1" && find . -mindepth 1 -printf '%P %y %m %s\n' | sort && find . -type f -exec sha256sum {} + | sort)
}
same_files()
{
	equal "$(listing c1/tokens)" "$(listing tokens)" "the tokens of the clone"
	equal "$(stat -c %a c1/mine.p12) $(cat c1/mine.p12)" "$(stat -c %a store.p12) $(cat store.p12)" "its keystore"
}

say "the property names what it is, and nothing of ours"
kc m config set replication.File.tokens="$T/tokens"
kc m config set replication.File.P12="$T/store.p12"
expect 78 kc m config set replication.File.x=keystore 2>err
grep -q 'keystore.Dir' err || fail "it says: $(cat err)"
expect 78 kc m config set replication.File.MasterKeyFile=x 2>/dev/null

say "a clone without the property restores nothing, and says which"
start_daemon c1
start_daemon m
kc m key generate --count 3
allow_log 'replication.File.P12 is not set'
allow_log '(unreachable|failed): connection (lost|refused)'
expect 1 kc m replicate-now >out 2>&1
grep -q 'companion P12, which has no path here: replication.File.P12 is not set' out || fail "it says: $(cat out)"
equal "$(kc c1 --json status | jq .self.applied)" 0 "applied"

say "with it they are there: contents, modes, times"
kc c1 config set replication.File.P12="mine.p12"
kc c1 config set replication.File.tokens=tokens
kc c1 reload >out || true
grep -q 'replication.File' out || fail "reload does not say that it needs a restart: $(cat out)"
stop_daemon c1
start_daemon c1
kc m replicate-now >/dev/null
same_keys m c1
same_files
equal "$(stat -c %Y c1/tokens/one/object)" "$(stat -c %Y tokens/one/object)" "the time"
[ -z "$(ls -A c1/.keyclone-tokens)" ] || fail "prepared files stay"

say "nothing changed: no new backup; a change of a companion alone: one"
kc m replicate-now >/dev/null
equal "$(kc m --json status | jq .generation)" "$(kc c1 --json status | jq .self.applied)" "generation"
before=$(kc m --json status | jq .generation)
kc m backup needed >/dev/null || fail "a backup is said to be needed"
printf 'second!' >tokens/one/object
rm -r tokens/.lock tokens/empty
mkdir -m 0700 tokens/two
printf 'new' >$'tokens/two/sch\303\266n'
chmod 0600 store.p12
expect 2 kc m backup needed >out
grep -q 'companion files' out || fail "it says: $(cat out)"
kc m replicate-now >/dev/null
[ "$(kc m --json status | jq .generation)" -gt "$before" ] || fail "no new generation for a change of a companion"
same_files

say "a file becomes a directory, and the other way round"
rm -r tokens/two tokens/one/object
printf 'was a directory' >tokens/two
mkdir tokens/one/object
printf x >tokens/one/object/inside
kc m replicate-now >/dev/null
same_files

say "what somebody changed on the clone is not overwritten, neither files nor rows"
allow_log 'is not restored, nothing was written'
allow_log 'diverged'
allow_log 'declined: [0-9]* rows* (is|are) not as the master has'
rows=$(dump c1 | sha256sum)
printf 'mine' >c1/tokens/own
printf 'more' >>c1/tokens/two
kc m key generate
printf 'third' >tokens/one/object/inside
kept=$(listing c1/tokens)
expect 1 kc m replicate-now >/dev/null 2>&1
equal "$(listing c1/tokens)" "$kept" "the clone's files"
equal "$(dump c1 | sha256sum)" "$rows" "the clone's rows"
expect 2 kc c1 diverged list >out
grep -q 'replication.File.tokens *own' out || fail "the list lacks the new file: $(cat out)"
grep -q 'two (changed)' out || fail "the list lacks the changed file: $(cat out)"

say "until an operator says so; a safety backup has them"
allow_log 'what is discarded was saved in'
kc c1 diverged discard >/dev/null
wait_for 20 "the clone is current" kc m replicate-now
same_keys m c1
same_files
safety=$(echo c1/backups/*-safety-*)
kc c1 backup restore "$safety" --to saved.db --force >out
equal "$(cat saved.db.tokens/own)" mine "the safety backup's file"
grep -q 'companion tokens is in saved.db.tokens' out || fail "it says: $(cat out)"

say "links are refused on the master, by name"
ln -s /etc/passwd tokens/link
allow_log 'backup failed: .*tokens/link: is a symbolic link'
expect 77 kc m replicate-now >out 2>&1
grep -q 'tokens/link: is a symbolic link' out || fail "it says: $(cat out)"
rm tokens/link
mv store.p12 away
allow_log 'backup failed: .*the companion P12 is missing'
expect 1 kc m replicate-now >out 2>&1
grep -q 'store.p12: the companion P12 is missing' out || fail "it says: $(cat out)"
mv away store.p12
kc m replicate-now >/dev/null

say "the first take-over of what is not empty needs an operator"
mkdir tokens2 elsewhere elsewhere/other
printf 'theirs' >tokens2/a
printf 'ours' >elsewhere/other/a
stop_daemon m
stop_daemon c1
kc m config set replication.File.second="$T/tokens2"
kc c1 config set replication.File.second="$T/elsewhere/other"
start_daemon c1
start_daemon m
expect 1 kc m replicate-now >/dev/null 2>&1
equal "$(cat elsewhere/other/a)" ours "the clone's own file"
expect 2 kc c1 diverged list >out
grep -q 'replication.File.second *a (changed)' out || fail "the list lacks it: $(cat out)"
kc c1 diverged discard >/dev/null
wait_for 20 "the clone is current" kc m replicate-now
equal "$(cat elsewhere/other/a)" theirs "the file"

say "public tools recover them"
newest=$(kc m --json backup list | jq -r '[.[] | select(.kind == "full")] | max_by(.generation) | .path')
kc m backup verify "$newest" >out
grep -q 'companion files' out || fail "verify does not say it: $(cat out)"
mkdir tar
python3 "$TOP_SRCDIR/tests/interop/on_tty.py" 'correct horse battery' age -d -o tar/x.zst "$newest"
(cd tar && zstd -q -d x.zst -o x.tar && tar xf x.tar && sha256sum --quiet --strict -c SHA256SUMS)
equal "$(listing tar/files/tokens)" "$(listing tokens)" "what tar unpacked"
equal "$(cat tar/files/P12/store.p12)" "$(cat store.p12)" "the keystore"

finish
