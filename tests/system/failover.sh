#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# failover: a clone is promoted, the others follow it without being reset; the old master comes back with rows of its
# own, is fenced off, is demoted, and what only it has is found before anything is written. No key is lost.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/roles.sh"
begin failover sqlite3 jq

allow_log 'refused|diverged|unreachable|not restored|has no effect|is discarded was saved|rows are not as the master has them'

# The newest system backup has come, which has the master's settings of now.
system_backup()
{
	[ -n "$(find "$1/backups" -name "keyclone-system-*-$2-system-*.age")" ]
}

make_fleet 3
expect 0 kc m key generate --count 40 --group LTO >/dev/null
expect 0 kc m replicate-now >/dev/null
wait_for 20 "a system backup" system_backup c1 0000000001
expect 0 kc m config set backup.CheckFrequency=33m >/dev/null
expect 0 kc m reload >/dev/null
wait_for 20 "a system backup with other settings" system_backup c1 0000000002
old=$(kc m --json status | jq -r .lineage)

say "refused while the master answers, and without the right password"
expect 77 kc c1 promote --password-file pw
printf 'another password\n' >wrong
stop_daemon m
expect 65 kc c1 promote --password-file wrong
answers c1 || fail "a refused promotion ended the daemon"

# What the master made and nobody got.
expect 0 kc m key generate --count 3 --alias home --group LTO >/dev/null

say "promoted"
printf '# the comment that stays\n' >>c1/keyclone.properties
expect 0 kc c1 promote --password-file pw >promote.out
ended c1
grep -q 'restart keycloned' promote.out || fail "it does not say what to do next"
free_port
new_port=$PORT
expect 0 kc c1 config set "replication.MasterListenPort=$new_port" >/dev/null
expect 64 kc c1 promote --password-file pw
equal "$(kc c1 config get replication.role)" master
grep -q '^# the comment that stays$' c1/keyclone.properties || fail "a comment is gone"
equal "$(kc c1 clone list | tr '\n' ' ')" "127.0.0.1:$(port_of c2) 127.0.0.1:$(port_of c3) " "fleet"

equal "$(kc c1 config get backup.CheckFrequency)" "$(kc m config get backup.CheckFrequency)" "settings"

say "the other clones follow by themselves: the signing key is the installation's, from the system backup"
grep -q 'trust signer' promote.out && fail "it has another signing key"
start_daemon c1
expect 0 kc c1 key generate --count 10 --group LTO >/dev/null
expect 0 kc c1 replicate-now >/dev/null
new=$(kc c1 --json status | jq -r .lineage)
[ "$new" != "$old" ] || fail "the lineage is the same"
for name in c2 c3; do
	same_keys c1 "$name"
	equal "$(kc "$name" --json status | jq -r .lineage)" "$new" "lineage of $name"
done
equal "$(rows c2)" 50

say "the old master is fenced off, and says how to go on"
start_daemon m
for name in c1 c2 c3; do
	wait_for 20 "$name refuses the old master" is_state m "$(port_of "$name")" refused
done
kc m --json status | jq -r '.clones[].last_error' >errors || true
grep -q "lineage ${old:0:8} was replaced by ${new:0:8}.*demote --master .*:$new_port" errors || fail "$(cat errors)"
expect 0 kc m audit --json | grep KC0221E >/dev/null || fail "no record at the old master"
grep -q KC0221E c2/log/replication_audit.log || fail "no record at the clone"
equal "$(rows c2)" 50

say "demoted, its own rows are found and nothing is written"
free_port
expect 0 kc m demote --master "127.0.0.1:$new_port" >demote.out
ended m
expect 64 kc m demote --master "127.0.0.1:$new_port"
expect 0 kc m config set "restore.ListenPort=$PORT" >/dev/null
start_daemon m
expect 0 kc c1 clone add "127.0.0.1:$PORT" >/dev/null
wait_for 20 "the old master's own rows are found" is_state c1 "$PORT" diverged
equal "$(rows m)" 43
expect 2 kc m diverged list >rows.out
equal "$(grep -c '^here' rows.out)" 3 "rows of its own"

say "carried home"
expect 0 kc m backup create --output home.tar.zst.age >/dev/null
expect 0 kc c1 backup restore home.tar.zst.age --merge --password-file pw
equal "$(rows c1)" 53
expect 0 kc c1 replicate-now --clone "127.0.0.1:$(port_of c2)" >/dev/null
expect 0 kc m diverged discard >/dev/null
wait_for 20 "the old master follows" is_state c1 "$PORT" current
expect 0 kc c1 replicate-now >/dev/null
for name in m c2 c3; do
	same_keys c1 "$name"
done
expect 0 kc m diverged list >/dev/null

say "and back: it has forgotten what it stored when it was a clone"
restores_of() { jq -r 'select(.event == "restore.start") | .lineage' c1/log/replication_audit.log | grep -c "$1"; }
stop_daemon c1
before=$(restores_of "$old")
expect 0 kc m promote --password-file pw >/dev/null
ended m
expect 0 kc c1 demote --master "127.0.0.1:$(kc m config get replication.MasterListenPort)" >/dev/null
start_daemon m
start_daemon c1
expect 0 kc m clone add "127.0.0.1:$(port_of c1)" >/dev/null
expect 0 kc m key generate --count 5 --group LTO >/dev/null
expect 0 kc m replicate-now >/dev/null
for name in c1 c2 c3; do
	same_keys m "$name"
done
equal "$(restores_of "$old")" "$before" "restores of the first master's backups"

finish
