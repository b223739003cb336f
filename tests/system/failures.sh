#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# failures: what goes wrong around a fleet, one after the other: it is said with its reason, nothing is lost, and when
# the cause is gone the fleet converges by itself.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/fleet.sh"
begin failures sqlite3 python3 jq pgrep

allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed|refused|diverged): '
allow_log 'generation [0-9]+ (is not restored|of 127.0.0.1:[0-9]+)'
allow_log 'the worker was ended by signal 9'
allow_log 'what is discarded was saved'
allow_log 'the key database is not what was last restored'

replicas 3 5000
for name in m c1 c2 c3; do
	start_daemon "$name"
done
expect 0 kc m replicate-now >/dev/null
same c1 c2 c3
change 1

say "a database that another process has locked for long (seen below)"
python3 - c2/keys.sqlite unlock <<'PY' &
import os, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
open("locked", "w").close()
while not os.path.exists(sys.argv[2]):
    time.sleep(0.05)
db.execute("ROLLBACK")
PY
DAEMON_PID[locker]=$!
wait_for 10 "the lock" test -e locked
expect 0 kc m replicate-now --no-wait >/dev/null
becomes c1 current
becomes c2 restoring

say "what a daemon cannot start with"
# refused STATUS PATTERN DIR: in one sentence
refused()
{
	local status=0

	timeout 30 keycloned -c "$3/keyclone.properties" >start.out 2>&1 || status=$?
	[ "$status" = "$1" ] || fail "status $status, not $1: $(cat start.out)"
	grep -q -E -- "$2" start.out || fail "it does not say '$2': $(cat start.out)"
	equal "$(grep -c '^keycloned: ' start.out)" 1 "lines of $(cat start.out)"
}
refused 1 'another keycloned runs' c1
cp -r c1 other
rm -r other/run other/state
refused 73 "port $(sed -n 's/^restore.ListenPort=//p' c1/keyclone.properties) is in use" other
configure other replication.Timeout=never
refused 78 'keyclone.properties:[0-9]+: replication.Timeout: ' other
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	mkdir theirs
	printf 'secret-free\n' >theirs/note
	cp -r m theirs/m
	rm -r theirs/m/run theirs/m/state theirs/m/log
	sed -i "s/^replication.MasterListenPort=.*/replication.MasterListenPort=$((MASTER_PORT + 1))/" \
		theirs/m/keyclone.properties
	chown -R 65534:65534 theirs/m
	chmod 711 "$T" theirs
	chmod 755 theirs/m
	install -d -o 0 -g 0 -m 755 theirs/m/state
	status=0
	timeout 30 setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$TOP_BUILDDIR/keycloned" -c "$T/theirs/m/keyclone.properties" >start.out 2>&1 || status=$?
	if grep -q 'execve\|exec' start.out && [ "$status" = 127 ]; then
		say "  (the programs cannot be run by another user here)"
	else
		equal "$status" 77 "status for a directory that is not writable ($(cat start.out))"
		grep -q "$T/theirs/m/state" start.out || fail "it does not name the directory: $(cat start.out)"
	fi
	chmod 700 "$T"
else
	say "  (no second user: a directory that is not writable is not tried)"
fi

say "a clone that is down and comes back catches up by itself"
stop_daemon c1
becomes c1 unreachable 'connection refused'
change 2
expect 1 kc m replicate-now --clone "$(address_of c1)" --clone "$(address_of c3)" >replicate.out 2>&1
grep -q 'unreachable' replicate.out || fail "replicate-now does not say who is missing: $(cat replicate.out)"
same c3
expect 2 kc m status >/dev/null
start_daemon c1
catches_up c1

say "a stopped process (SIGSTOP) does not hold up the others"
kill -STOP "${DAEMON_PID[c1]}"
change 3
expect 0 kc m replicate-now --no-wait >/dev/null
catches_up c3
! is_current c1 || fail "a stopped clone is current"
kill -CONT "${DAEMON_PID[c1]}"
catches_up c1

say "the locked database: failed with the reason, then done"
wait_for 60 "c2 says that it is locked" field_is c2 last_error 'locked by another process'
audited c2 restore.end failure 'locked by another process' || fail "no audit record of the lock"
touch unlock
wait "${DAEMON_PID[locker]}"
unset 'DAEMON_PID[locker]'
catches_up c2

say "a worker that is killed in a restore"
# It is held when the restore comes to it: killed at once, and later in the middle of whatever it does then.
for ((try = 0; try < 6; try++)); do
	wait_for 10 "a worker of c1" eval 'pid=$(worker_of c1)' # the last one may just have been killed
	kill -STOP "$pid"
	change $((100 + try)) 1000
	expect 0 kc m replicate-now --clone "$(address_of c1)" --no-wait >/dev/null
	wait_for 20 "c1 restores" field_is c1 state '^restoring$'
	if [ "$try" -gt 0 ]; then
		kill -CONT "$pid"
		sleep "0.00$((RANDOM % 10))"
	fi
	kill -KILL "$pid" 2>/dev/null || true
	catches_up c1
done
audited c1 restore.end failure 'signal 9' || fail "no record of a restore whose worker was killed"
integrity c1

say "rows that another hand made on a clone"
sqlite3 c1/keys.sqlite "INSERT INTO keys VALUES(999999, 'of another hand', 'mine', 1, 0, x'00')"
before=$(contents c1)
change 4
expect 1 kc m replicate-now --clone "$(address_of c1)" >/dev/null 2>&1
becomes c1 diverged 'keys id=999999'
equal "$(contents c1)" "$before" "a diverged clone was written to"
expect 2 kc c1 status >/dev/null
expect 2 kc m status >/dev/null
expect 2 kc c1 diverged list >list 2>&1
grep -q '999999' list || fail "diverged list does not show the row: $(cat list)"
audited c1 clone.diverged failure 'keys id=999999' || fail "no audit record of the divergence"
# It may have found the row by itself before a restore did.
if grep -q 'is not restored, nothing was written' c1.log; then
	audited c1 restore.end failure 'keys id=999999' || fail "the restore that found it has no end in the audit log"
fi
change 5
expect 1 kc m replicate-now --clone "$(address_of c1)" >/dev/null 2>&1
equal "$(contents c1)" "$before" "a diverged clone was written to"
stop_daemon c1
start_daemon c1
becomes c1 diverged
expect 0 kc c1 diverged discard >/dev/null
catches_up c1
expect 0 kc c1 diverged list >/dev/null
expect 0 kc c1 status >/dev/null
ls c1/backups | grep -q -- '-safety-' || fail "no safety backup of what was discarded: $(ls c1/backups)"
audited c1 clone.discarded success '' || fail "no audit record of the discarded rows"
# What was forgiven once is not forgiven for ever.
sqlite3 c1/keys.sqlite "DELETE FROM keys WHERE id = (SELECT max(id) FROM keys)"
change 6
expect 1 kc m replicate-now --clone "$(address_of c1)" >/dev/null 2>&1
becomes c1 diverged
expect 0 kc c1 diverged discard >/dev/null
catches_up c1

say "a backup file that was damaged on a clone's disk comes again"
stop_daemon c3
change 7
expect 0 kc m replicate-now --clone "$(address_of c1)" >/dev/null
start_daemon c3
catches_up c3
newest=$(sqlite3 c3/state/state.db 'SELECT backup FROM self')
stop_daemon c3
sqlite3 c3/state/state.db "UPDATE self SET generation = generation - 1, digest = ''"
dd if=/dev/zero of="c3/backups/$newest" bs=1 seek=2000 count=64 conv=notrunc status=none
start_daemon c3
catches_up c3
cmp "c3/backups/$newest" "m/backups/$newest" || fail "the damaged file is still there"
audited c3 restore.end failure '' || fail "no audit record of the damaged file"

say "SIGTERM in the middle"
for name in m c1 c2 c3 m c1; do
	change "$RANDOM" 1000
	expect 0 kc m replicate-now --no-wait >/dev/null
	wait_for 20 "a run" eval '! kc m --json status | jq -e ".run == null" || is_current c1'
	stop_daemon "$name"
	start_daemon "$name"
done
for name in c1 c2 c3; do
	catches_up "$name"
done

say "audit logs"
for name in m c1 c2 c3; do
	expect 0 kc "$name" audit --verify >/dev/null
	integrity "$name"
done
finish
