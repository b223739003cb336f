#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# obstacles: what stands in the way of a transfer: a bad line, a full disk, another signature, a change of configuration,
# the next backup. And what an operator does in the middle of one.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/fleet.sh"
begin obstacles sqlite3 python3 jq pgrep

allow_log 'a new signing key was made'
allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed|refused|diverged): '
allow_log 'generation [0-9]+ (is not restored|of 127.0.0.1:[0-9]+)'
allow_log 'backup failed: '
allow_log 'signing.key was not there'
allow_log 'the newest backup cannot be used, a new one is made'

unmount()
{
	local status=$?

	set +e
	umount -l "$T/small"
	(exit "$status")
	cleanup
}

replicas 3 40000

# c1 is behind a bad line: the master knows the line's port only.
real=$(sed -n 's/^restore.ListenPort=//p' c1/keyclone.properties)
free_port
line=$PORT
sed -i "s/=$real\$/=$line/" m/keyclone.properties
python3 "$TOP_SRCDIR/tests/system/cutter.py" "$line" "$real" 1000000 3 >cutter.out &
DAEMON_PID[cutter]=$!
wait_for 10 "the line" test -s cutter.out
address_of()
{
	case $1 in
	c1) printf '127.0.0.1:%s' "$line" ;;
	*) printf '127.0.0.1:%s' "$(sed -n 's/^restore.ListenPort=//p' "$1/keyclone.properties")" ;;
	esac
}

for name in m c1 c2 c3; do
	start_daemon "$name"
done

say "a transfer that breaks goes on where it broke"
expect 0 kc m replicate-now --no-wait >/dev/null
for name in c1 c2 c3; do
	catches_up "$name"
done
equal "$(grep -c cut cutter.out)" 3 "cuts"
grep -q 'the transfer goes on at byte [1-9]' m.log || fail "nothing was resumed"
audited c1 receive.start started 'goes on at byte [1-9]' || fail "no audit record of the resumption"
audited c1 receive.end failure '' || fail "no audit record of the broken transfer"
cmp m/backups/*-0000000001-full-* c1/backups/*-0000000001-full-* || fail "the file is another one"

say "a transfer that stands still, and operators who do not wait"
touch stalled
change 1
expect 0 kc m replicate-now --no-wait >/dev/null
catches_up c2
catches_up c3
change 2
expect 0 kc m replicate-now --clone "$(address_of c2)" --clone "$(address_of c3)" >/dev/null
same c2 c3
expect 0 kc m reload >/dev/null
expect 0 kc c2 reload >/dev/null
change 3
expect 0 kc m replicate-now --clone "$(address_of c2)" --clone "$(address_of c3)" >/dev/null
same c2 c3
rm stalled
catches_up c1

say "replicate-now while a backup is made: what was written before it is replicated"
for ((i = 10; i < 15; i++)); do
	change $((2 * i)) 300
	expect 0 kc m replicate-now --no-wait >/dev/null
	change $((2 * i + 1)) 300
	expect 0 kc m replicate-now >/dev/null
	same c1 c2 c3
done

say "many at once"
change 50
pids=()
for ((i = 0; i < 8; i++)); do
	kc m replicate-now >"many.$i" 2>&1 &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || fail "one of many: $(cat many.*)"
done
same c1 c2 c3

say "a clone leaves the fleet in the middle, and comes back"
change 60 3000
expect 0 kc m replicate-now --no-wait >/dev/null
expect 0 kc m clone remove "$(address_of c3)" >/dev/null
equal "$(kc m --json status | jq '.clones | length')" 2 "clones"
expect 0 kc m clone add "$(address_of c3)" >/dev/null
expect 0 kc m replicate-now >/dev/null
same c1 c2 c3

say "the task is stopped and started"
expect 0 kc m stop >/dev/null
expect 2 kc m status >/dev/null
change 70
expect 0 kc m replicate-now >/dev/null # an operator's word goes over it
same c1 c2 c3
change 71
expect 0 kc m start >/dev/null
for name in c1 c2 c3; do
	wait_for 30 "$name has it after start" eval "[ \"\$(contents $name)\" = \"\$(contents m)\" ]"
done

say "what needs a restart waits for one, in a new worker too"
sqlite3 m/other.sqlite 'CREATE TABLE t(id INTEGER PRIMARY KEY)'
sed -i 's/^keydb.Path=.*/keydb.Path=other.sqlite/' m/keyclone.properties
kc m reload >reload.out
grep -q 'keydb.Path' reload.out || fail "reload does not say what needs a restart: $(cat reload.out)"
allow_log 'the worker was ended by signal 9'
# A clone that is removed and added again may still have a report that its master no longer knows.
allow_log 'does not take the report|is not believed'
kill -KILL "$(worker_of m)"
change 75
wait_for 30 "a new worker" eval 'kc m replicate-now >/dev/null 2>&1'
same c1 c2 c3
sed -i 's/^keydb.Path=.*/keydb.Path=keys.sqlite/' m/keyclone.properties
expect 0 kc m reload >/dev/null

say "the newest backup is deleted by hand"
stop_daemon c2
change 80
expect 1 kc m replicate-now >/dev/null 2>&1
rm m/backups/*"$(kc m --json status | jq -r '"-\(.generation + 10000000000)-"' | sed 's/-1/-/')"*
start_daemon c2
catches_up c2

if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=40m,mode=700 tmpfs small 2>/dev/null; then
	trap unmount EXIT
	say "a clone's disk that is too small"
	stop_daemon c2
	configure c2 "replication.BackupDestDir=$T/small"
	start_daemon c2
	dd if=/dev/zero of=small/ballast bs=1M count=30 status=none
	change 90
	expect 1 kc m replicate-now --full >/dev/null 2>&1
	same c1 c3
	becomes c2 failed '[0-9]+ bytes are free, [0-9]+ are needed'
	audited c2 receive.end failure '[0-9]+ bytes are free, [0-9]+ are needed' || fail "no audit record"
	rm small/ballast
	catches_up c2

	say "a clone's disk that fills up in the middle"
	touch stalled
	stop_daemon c1
	sed -i '/^replication.BackupDestDir/d' c1/keyclone.properties
	stop_daemon c2
	sed -i '/^replication.BackupDestDir/d' c2/keyclone.properties
	configure c1 "replication.BackupDestDir=$T/small"
	rm -f small/*
	rm stalled
	start_daemon c2
	start_daemon c1
	wait_for 30 "c1 is there" field_is c1 state '^current$'
	# The line is slow, and while some of it comes through somebody else fills the disk.
	touch slow
	change 91
	expect 0 kc m replicate-now --full --no-wait >/dev/null
	wait_for 30 "a part" eval '[ "$(cat small/*.part | wc -c)" -gt 100000 ]'
	dd if=/dev/zero of=small/ballast bs=64k status=none 2>/dev/null || true
	wait_for 60 "c1 says that there is no room" field_is c1 last_error 'are free'
	rm small/ballast slow
	catches_up c1
	integrity c1
	stop_daemon c1
	sed -i '/^replication.BackupDestDir/d' c1/keyclone.properties
	start_daemon c1
	catches_up c1

	say "the master's disk is full"
	stop_daemon m
	configure m "replication.BackupDestDir=$T/small"
	rm -f small/*
	dd if=/dev/zero of=small/ballast bs=1M count=38 status=none
	start_daemon m
	change 92
	expect 1 kc m replicate-now --full >full.out 2>&1
	grep -q 'are free' full.out || fail "it does not say that the disk is full: $(cat full.out)"
	equal "$(find small -name '*.part')" "" "left behind"
	rm small/ballast
	expect 0 kc m replicate-now >/dev/null
	same c1 c2 c3
	stop_daemon m
	sed -i '/^replication.BackupDestDir/d' m/keyclone.properties
	start_daemon m
	expect 0 kc m replicate-now >/dev/null
else
	say "  (no small disk can be made here: full disks are not tried)"
fi

say "a full that another key signed is not restored"
stop_daemon m
cp m/secrets/signing.key kept.key
rm m/secrets/signing.key
start_daemon m
before=$(contents c1)
change 100
expect 1 kc m replicate-now >signed.out 2>&1
equal "$(contents c1)" "$before" "a clone restored what another key signed"
becomes c1 failed '[Ss]ign'
audited c1 restore.end failure 'sign' || fail "no audit record"
expect 2 kc m status >/dev/null
stop_daemon m
cp kept.key m/secrets/signing.key
start_daemon m
expect 0 kc m replicate-now --full >/dev/null
same c1 c2 c3

for name in m c1 c2 c3; do
	expect 0 kc "$name" audit --verify >/dev/null
	integrity "$name"
done
kill "${DAEMON_PID[cutter]}"
unset 'DAEMON_PID[cutter]'
finish
