#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ahead: the clone that is promoted had less than another one. That one has keys that the new master lacks: it keeps
# them, lists them, and they are carried home. And what a promoted clone had stored for its hour counts.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/roles.sh"
begin ahead sqlite3 jq

allow_log 'refused|diverged|unreachable|has no effect|not restored|is discarded was saved|rows are not as the master has them'

make_fleet 2
expect 0 kc m key generate --count 20 >/dev/null
expect 0 kc m replicate-now >/dev/null

say "c1 stores for its hour what c2 restores at once; then c2 gets more than c1"
stop_daemon c1
expect 0 kc c1 config set "restore.DailyStartReplicationRestoreTime=$(date -d '+5 hours' +%H:%M)" >/dev/null
start_daemon c1
expect 0 kc m key generate --count 5 >/dev/null
expect 0 kc m replicate-now >/dev/null
equal "$(rows c1) $(rows c2)" "20 25"
stop_daemon c1
expect 0 kc m key generate --count 4 --alias more >/dev/null
expect 1 kc m replicate-now 2>/dev/null >/dev/null
stop_daemon m
equal "$(rows c2)" 29

say "what waits for its hour is applied first"
expect 1 kc c1 promote --password-file pw 2>promote.out
grep -q 'is stored and not applied: start keycloned' promote.out || fail "$(cat promote.out)"
start_daemon c1
rm -f c1/backups/keyclone-system-*
expect 0 kc c1 promote --password-file pw >promote.out
ended c1
equal "$(rows c1)" 25
start_daemon c1
# No system backup had come: its signing key is its own.
signer=$(sed -n "s/.*keyclone trust signer '\\(.*\\)'/\\1/p" promote.out)
[ -n "$signer" ] || fail "it does not say what to accept on the clones"
expect 0 kc c2 trust signer "$signer" >/dev/null

say "the clone that is ahead keeps what it has, and names it"
port=$(port_of c2)
wait_for 20 "c2 is found to be ahead" is_state c1 "$port" diverged
equal "$(rows c2)" 29
expect 2 kc c2 diverged list >rows.out
equal "$(grep -c '^here.*alias=more' rows.out)" 4 "rows that it is ahead by"

say "carried home"
expect 0 kc c2 backup create --output home.tar.zst.age --password-file pw >/dev/null
clone_signer=$(kc c2 trust signer --json | jq -r '.signers[] | select(.own) | .key')
expect 0 kc c1 trust signer "$clone_signer" >/dev/null
expect 0 kc c1 backup restore home.tar.zst.age --merge --password-file pw
equal "$(rows c1)" 29
expect 0 kc c2 diverged discard >/dev/null
expect 0 kc c1 replicate-now >/dev/null
wait_for 20 "c2 follows" is_state c1 "$port" current
same_keys c1 c2

finish
