#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# backup.ReleaseKeysOnSuccessfulBackup: a new key is not handed out before a clone has a backup with it, or, where there
# is no clone, before one is made. Releasing replicates nothing.

. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin held-keys jq sqlite3

allow_log 'unreachable'
allow_log 'ReleaseKeysOnSuccessfulBackup has no effect'

generation()
{
	kc m --json status | jq .generation
}

# held DIR NAME: as `key list` and `key show` say it.
held()
{
	[ "$(kc "$1" --json key show "$2" | jq .held)" = true ]
}

not_held()
{
	! held "$1" "$2"
}

exports()
{
	kc "$1" key export "$2" >/dev/null 2>&1
}

make_master m
kc m config set backup.ReleaseKeysOnSuccessfulBackup=true >/dev/null

say "without a clone, without a daemon: until a backup is made"
kc m key generate --alias first >out.txt
grep -q 'Held until a backup' out.txt
held m first || fail "a new key is not held"
kc m key list >out.txt
grep -q 'first .*held$' out.txt
kc m key show first >out.txt
grep -q '^held *yes' out.txt
expect 77 kc m key export first 2>err.txt
grep -q 'is held until a backup' err.txt
kc m backup create >out.txt
grep -q '1 key is held no more' out.txt || fail "$(cat out.txt)"
exports m first || fail "a released key is not exported"
kc m audit --event key.release >out.txt
grep -q '1 key is held no more' out.txt

say "without a clone, with a daemon: likewise"
kc m key generate --alias second >/dev/null
start_daemon m
wait_for 20 "the key to be released" not_held m second
G=$(generation)
kc m replicate-now >/dev/null
equal "$(generation)" "$G" "a release was replicated"
stop_daemon m

say "with a clone: until the clone has it"
make_clone c1
kc m key generate --count 3 --alias third- >/dev/null
held m third-000001
kc m backup create >/dev/null
held m third-000001 || fail "a backup here releases though a clone is configured"
start_daemon m
wait_for 20 "a generation with it" eval '[ "$(generation)" -gt "$G" ]'
held m third-000001 || fail "released before a clone has it"
expect 77 kc m key export third-000001 >/dev/null 2>&1
start_daemon c1
kc m replicate-now >/dev/null
wait_for 20 "the keys to be released" not_held m third-000003
exports m third-000001
G=$(generation)
kc m replicate-now >/dev/null
equal "$(generation)" "$G" "a release was replicated"
kc m audit --event key.release >out.txt
grep -q '3 keys are held no more' out.txt

say "a clone holds none"
same_keys m c1
not_held c1 third-000001
exports c1 third-000001 || fail "a clone does not serve its keys"

say "newer keys stay held"
stop_daemon c1
kc m key import --alias imported --format hex - <<<"000102030405060708090a0b0c0d0e0f" >/dev/null
held m imported
expect 1 kc m replicate-now >/dev/null 2>&1
held m imported
kc m key generate --alias newest >/dev/null
start_daemon c1
kc m replicate-now >/dev/null
wait_for 20 "the keys to be released" not_held m newest
not_held m imported

say "turned off: nothing is held"
stop_daemon c1
kc m key generate --alias off >/dev/null
held m off
kc m config set backup.ReleaseKeysOnSuccessfulBackup=false >/dev/null
exports m off || fail "it still counts"
kc m config set backup.ReleaseKeysOnSuccessfulBackup=true >/dev/null
held m off
stop_daemon m

say "another key database: a warning"
mkdir other
sqlite3 other.sqlite 'CREATE TABLE t (a INTEGER PRIMARY KEY)'
sed -i 's/^keydb.Path.*//' m/keyclone.properties
echo "keydb.Path=../other.sqlite" >>m/keyclone.properties
kc m config check >out.txt 2>&1
grep -q 'ReleaseKeysOnSuccessfulBackup: has no effect' out.txt || fail "$(cat out.txt)"
start_daemon m
grep -q 'ReleaseKeysOnSuccessfulBackup has no effect' m.log || fail "the daemon does not say so"

finish
