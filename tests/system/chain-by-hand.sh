#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# chain-by-hand: increments that an operator verifies and restores, on the master, on a clone and from copies; what is
# missing is named; a backup outside of the chain, retention and a promotion leave chains whole.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "$TOP_SRCDIR/tests/system/fleet.sh"
. "$TOP_SRCDIR/tests/system/chain.sh"
. "$TOP_SRCDIR/tests/system/roles.sh"
begin chain-by-hand sqlite3 jq python3

allow_log 'unreachable|refused|diverged|declined: |is not restored|what is discarded was saved|has no effect'

CLONES=(c1 c2)
serial=0

some_change()
{
	serial=$((serial + 1))
	sqlite3 -cmd '.timeout 10000' m/keys.sqlite "UPDATE keys SET state = $serial, alias = 'serial $serial' WHERE id <= 5; DELETE FROM keys WHERE id = 100 + $serial;
		INSERT INTO keys(uuid, alias, created, material) VALUES('serial $serial', 'new', $serial, x'00')"
}

rows_of()
{
	sqlite3 -readonly -quote "$1" .schema 'SELECT * FROM keys ORDER BY id' 'SELECT * FROM attributes ORDER BY 1, 2' | sha256sum
}

# change_and_keep: another generation, with what the master had then
change_and_keep()
{
	some_change
	travels "${1:-incr}"
	rows_of m/keys.sqlite >"rows.$G"
}

replicas 2 3000
for name in m c1 c2; do
	kc $name config set replication.MaxBackupNum=2 >/dev/null
done
start_daemon c1
start_daemon c2
start_daemon m
travels full
rows_of m/keys.sqlite >rows.1
for i in 1 2 3; do
	change_and_keep
done

say "verified on the master, and on a clone without a password"
kc m backup verify "$(backup_of 3)" >out
grep -q ': good: generation 3' out || fail "verify says: $(cat out)"
kc m backup verify --password-file pw "$(backup_of 4)" >out
grep -q ': good: generation 4' out || fail "verify says: $(cat out)"
kc c1 backup verify "$(backup_of 4 c1)" >out
grep -q ': good: generation 4' out || fail "verify on a clone says: $(cat out)"
printf 'wrong\n' >wrong
expect 65 kc m backup verify --password-file wrong "$(backup_of 4)" 2>err
grep -q 'wrong password' err || fail "it says: $(cat err)"

say "restored elsewhere: the master's rows of that generation, from either machine"
for g in 1 2 3 4; do
	kc m backup restore "$(backup_of $g)" --to "m.$g.db" >/dev/null
	kc c1 backup restore "$(backup_of $g c1)" --to "c.$g.db" >/dev/null
	equal "$(rows_of "m.$g.db")" "$(cat rows.$g)" "rows of generation $g"
	equal "$(rows_of "c.$g.db")" "$(cat rows.$g)" "rows of generation $g, restored on a clone"
done

say "a link that is missing or another one's is named"
mkdir copy
cp m/backups/*-keys-* copy/ 2>/dev/null || cp m/backups/*incr* m/backups/*full* copy/
in_copy() { printf 'copy/%s' "$(basename "$(backup_of "$1")")"; }
kc m backup verify --password-file pw "$(in_copy 4)" >/dev/null
mv "$(in_copy 3)" away
expect 1 kc m backup verify "$(in_copy 4)" 2>err
grep -q 'builds on generation 3, which is not beside it' err || fail "it says: $(cat err)"
kc m backup verify "$(in_copy 2)" >/dev/null
expect 1 kc m backup restore "$(in_copy 4)" --to no.db 2>err
grep -q 'builds on generation 3, which is not beside it' err || fail "it says: $(cat err)"
[ ! -e no.db ] || fail "something was restored, or an empty file is left"
: >no.db
expect 1 kc m backup restore "$(in_copy 4)" --to no.db 2>/dev/null
[ -e no.db ] || fail "a file that was there before was removed"
rm no.db
mv away "$(in_copy 3)"
mv "$(in_copy 1)" away
expect 1 kc m backup verify "$(in_copy 4)" 2>err
grep -q 'the full backup that it builds on is not beside it' err || fail "it says: $(cat err)"
mv away "$(in_copy 1)"
cp "$(in_copy 2)" kept
printf 'x' | dd of="$(in_copy 2)" bs=1 seek=400 conv=notrunc status=none
expect 65 kc m backup verify "$(in_copy 4)" 2>err
grep -q "$(basename "$(backup_of 2)"): " err || fail "it does not name the damaged one: $(cat err)"
cp kept "$(in_copy 2)"
cp "$(in_copy 4)" renamed.age
expect 65 kc m backup verify renamed.age 2>err
grep -q 'names that backups have' err || fail "it says: $(cat err)"

say "a backup outside of the chain disturbs nothing"
kc m backup create >/dev/null
change_and_keep
kc m backup create >/dev/null
kc m backup create >/dev/null
change_and_keep
says "^increment on generation $((G - 1)): "
for g in 4 $((G - 1)) "$G"; do
	kc m backup verify "$(find m/backups -name "*-$(printf '%010d' "$g")-incr-*")" >/dev/null
	kc m backup restore "$(find m/backups -name "*-$(printf '%010d' "$g")-incr-*")" --to "again.$g.db" >/dev/null
	equal "$(rows_of "again.$g.db")" "$(cat rows.$g)" "rows of generation $g"
done
outside=$(kc m --json backup list | jq -r '[.[] | select(.kind == "full")] | last | .path')
kc m backup verify "$outside" >/dev/null

say "fulls and what builds on them are pruned together, and never what waits for a clone's hour"
stop_daemon c1
configure c1 "restore.DailyStartReplicationRestoreTime=$(date -d '+3 hours' +%H:%M)"
start_daemon c1
CLONES=(c2)
first=$G
for i in 1 2 3; do
	some_change
	travels full --full
	some_change
	travels incr
done
equal "$(find c2/backups -name '*-full-*' | wc -l)" 2 "fulls on a clone"
equal "$(find c2/backups -name '*-incr-*' | wc -l)" 2 "increments on a clone"
for name in m c2; do
	for f in "$name"/backups/*-incr-*; do
		kc $name backup verify "$f" >/dev/null
	done
done
equal "$(kc c1 --json status | jq -r '"\(.self.applied) \(.self.stored)"')" "$first $G" "applied and stored"
# What opens the list of rows that are not from it.
[ -n "$(backup_of "$first" c1)" ] || fail "what was applied is gone"
expect 0 kc c1 restore-now >/dev/null
CLONES=(c1 c2)
same c1 c2
wait_for 20 "the master knows" is_current c1
# An hour that lets increments pile up: the full that they build on stays as long as they wait.
some_change
travels_to_c2() { CLONES=(c2); travels "$@"; CLONES=(c1 c2); }
some_change
travels_to_c2 full --full
some_change
travels_to_c2 incr
some_change
travels_to_c2 incr
expect 0 kc c1 restore-now >/dev/null
same c1 c2
sed -i '/^restore.DailyStart/d' c1/keyclone.properties
kc c1 reload >/dev/null
wait_for 20 "the master knows" is_current c1

say "through a running daemon, from the backup folder and from a copy elsewhere"
change_and_keep
change_and_keep
change_and_keep
mkdir elsewhere
cp m/backups/*-full-* m/backups/*-incr-* elsewhere/
old=$((G - 1))
lineage=$(lineage_of m)
expect 77 kc m backup restore "$(backup_of "$old")" >out 2>err
grep -q 'needs --discard' err || fail "it says: $(cat err)"
expect 0 kc m backup restore "$(backup_of "$old")" --discard >out
equal "$(rows_of m/keys.sqlite)" "$(cat "rows.$old")" "rows of generation $old"
[ "$(lineage_of m)" != "$lineage" ] || fail "no child lineage"
settled() { [ "$(rows_of "$1/keys.sqlite")" = "$(rows_of m/keys.sqlite)" ] && is_current "$1"; }
give_up()
{
	local name

	for name in c1 c2; do
		wait_for 30 "$name has it, or has diverged" eval "settled $name || field_is $name state '^diverged\$'"
		settled $name || kc $name diverged discard >/dev/null
		wait_for 30 "$name has what the master has" settled $name
	done
	G=$(generation)
}
give_up
some_change
travels incr
expect 0 kc m backup restore "elsewhere/$(basename "$(find elsewhere -name "*-$(printf '%010d' "$old")-incr-*")")" --discard --password-file pw >out
equal "$(rows_of m/keys.sqlite)" "$(cat "rows.$old")" "rows of generation $old"
give_up
some_change
travels incr
expect 0 kc m status >/dev/null

say "a clone whose newest backups are increments is promoted; the others follow with a full, then increments"
some_change
travels incr
system_backup() { compgen -G 'c1/backups/keyclone-system-*' >/dev/null; }
wait_for 20 "a system backup" system_backup
stop_daemon m
expect 0 kc c1 promote --password-file pw >/dev/null
ended c1
free_port
kc c1 config set "replication.MasterListenPort=$PORT" >/dev/null
start_daemon c1
follows() { [ "$(rows_of c2/keys.sqlite)" = "$(rows_of c1/keys.sqlite)" ] && is_state c1 "$(port_of c2)" current; }
expect 0 kc c1 replicate-now >/dev/null
wait_for 30 "c2 follows" follows
g=$(kc c1 --json status | jq .generation)
equal "$(kind_of "$g" c1)" full "the first of the new master"
for i in 1 2; do
	sqlite3 c1/keys.sqlite "UPDATE keys SET alias = 'promoted $i' WHERE id = $i"
	expect 0 kc c1 replicate-now >/dev/null
	equal "$(kind_of $((g + i)) c1)" incr "what came after it"
	equal "$(rows_of c2/keys.sqlite)" "$(rows_of c1/keys.sqlite)" "rows of c2"
done
finish
