#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Restores at an hour: what comes is stored and postponed, a newer one takes its place, and what comes of it is reported
# to the master later, over restarts of either side; operators need not wait.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin postponed sqlite3 jq python3
. "$TOP_SRCDIR/tests/system/fleet.sh"
allow_log 'warning: clone .*: unreachable: connection refused'

# An hour that is surely not now; and one that has just been: HH:MM of the minute before.
later=$(date -d '+3 hours' +%H:%M)
hour()
{
	sed -i '/^restore.DailyStart/d' "$1/keyclone.properties"
	[ -z "$2" ] || configure "$1" "restore.DailyStartReplicationRestoreTime=$2"
}
own() { kc "$1" --json status | jq -r ".self.$2"; }
own_is() { [ "$(own "$1" "$2")" = "$3" ]; }
master_is() { kc m --json status | jq -e "$1" >/dev/null; }

say "a restore is postponed, and everybody says so"
replicas 2 300
sed -i '/^backup.OnChange/d; s/^backup.CheckFrequency=.*/backup.CheckFrequency=1h/' m/keyclone.properties
hour c1 "$later"
start_daemon c1
start_daemon c2
start_daemon m
wait_for 20 "generation 1 is stored on c1" field_is c1 state '^postponed$'
catches_up c2
field_is c1 stored '^1$' && field_is c1 applied '^0$' || fail "stored and applied of a postponed clone"
[ "$(field c1 postponed_until)" = "$(own c1 postponed_until)" ] || fail "until when: master and clone differ"
own_is c1 stored 1 && own_is c1 applied 0
kc m status | grep -q "postponed .* restores at $later" || fail "status does not say when: $(kc m status)"
kc c1 status | grep -q "is stored and restores at $later"
audited c1 restore.postpone success "until .* \($later"
audited m replication.end success '2 of 2 clones have it, 1 of them stored for its hour'
master_is '.last_completed == null' || fail "completed before every clone has restored"

say "replicate-now keeps the hour; a newer full takes the place of what waits"
change 2
expect 0 kc m replicate-now --full >out
grep -q "postponed, restores at $later" out || fail "replicate-now does not say that it is postponed: $(cat out)"
field_is c1 stored '^2$' && field_is c1 state '^postponed$'
audited c1 restore.postpone success 'generation 1, which waited before, is forgotten'

say "the clone restarts while it is postponed: it waits still"
stop_daemon c1
start_daemon c1
own_is c1 applied 0 && own_is c1 stored 2 || fail "a restart restored what waits for its hour"
wait_for 20 "c1 is postponed for the master too" field_is c1 state '^postponed$'

say "replicate-now --restore-now does not wait"
expect 0 kc m replicate-now --restore-now
is_current c1 || fail "c1 has not restored: $(field c1 state)"
same c1
master_is '.last_completed != null' || fail "not completed"

say "restore-now on the clone; the master is told at its listen port"
change 3
expect 0 kc m replicate-now >/dev/null
field_is c1 state '^postponed$' || fail "not postponed again"
expect 0 kc c1 restore-now >out
grep -q 'Generation 3 is restored' out || fail "restore-now says: $(cat out)"
same c1
wait_for 20 "the report is there" audited m report.receive success '^null restored'
wait_for 20 "c1 is current" is_current c1
wait_for 20 "the run is completed" audited m replication.end success 'every clone has it now'
wait_for 20 "the report is acknowledged" audited c1 report.send success restored
expect 0 kc c1 restore-now >out
grep -q 'Nothing waits' out || fail "restore-now without anything: $(cat out)"
expect 64 kc m restore-now 2>err
grep -q -- '--restore-now' err

say "postponed, and the master is restarted before the restore"
change 4
expect 0 kc m replicate-now >/dev/null
stop_daemon m
start_daemon m
wait_for 20 "c1 is postponed after the restart" field_is c1 state '^postponed$'
expect 0 kc c1 restore-now >/dev/null
wait_for 20 "the report is there" audited m report.receive success '^null restored'
wait_for 20 "c1 is current" is_current c1
same c1

say "the master is down when the report is due; both are restarted before it is told"
change 5
expect 0 kc m replicate-now >/dev/null
stop_daemon m
expect 0 kc c1 --json restore-now | jq -e ".restored and .generation == 5" >/dev/null
same_generation() { jq -s -e --argjson g "$1" '[.[] | select(.event == "report.receive" and .generation == $g)] | length == 1' m/log/replication_audit.log >/dev/null; }
wait_for 20 "the clone says that it cannot report" audited c1 report.send failure 'KC0217W'
stop_daemon c1
start_daemon c1
start_daemon m
wait_for 30 "the report of generation 5" same_generation 5
wait_for 20 "c1 is current" is_current c1
wait_for 20 "it is acknowledged" audited c1 report.send success restored
equal "$(sqlite3 -readonly c1/state/state.db 'SELECT count(*) FROM report')" 0 "reports left on the clone"

say "an hour that was missed is made up at the start"
change 6
expect 0 kc m replicate-now >/dev/null
field_is c1 state '^postponed$' || fail "not postponed"
stop_daemon c1
# As if it had come two days ago.
sqlite3 c1/state/state.db "UPDATE stored SET at = at - 172800, due = due - 172800 WHERE generation = 6"
start_daemon c1
wait_for 20 "c1 restores what it has missed" own_is c1 applied 6
wait_for 30 "the report of generation 6" same_generation 6
wait_for 20 "c1 is current" is_current c1
same c1

say "the hour is taken out of the configuration: a reload restores at once"
change 7
expect 0 kc m replicate-now >/dev/null
field_is c1 state '^postponed$' || fail "not postponed"
hour c1 ''
expect 0 kc c1 reload
wait_for 20 "c1 restores after the reload" own_is c1 applied 7
wait_for 30 "the report of generation 7" same_generation 7
same c1 c2
expect 0 kc m audit --verify >/dev/null
expect 0 kc c1 audit --verify >/dev/null

say "an audit log that is cut short on one side shows on the other"
stop_daemon m
stop_daemon c1
hour c1 "$later"
for name in m c1; do
	head -n -30 "$name/log/replication_audit.log" >cut
	cat cut >"$name/log/replication_audit.log"
	expect 2 kc "$name" audit --verify >verify.out 2>&1
	grep -q 'removed: the log ends at record [0-9]*, but [0-9]* was written' verify.out || fail "$(cat verify.out)"
	sqlite3 "$name/state/state.db" 'UPDATE peer_log SET at = at - 1000'
done
start_daemon c1
start_daemon m
for name in m c1; do
	audited "$name" audit.cut failure '^KC0504E it ends with record [0-9]+, and had [0-9]+: 30 are missing at its end' ||
		fail "$name does not say it of itself"
done
allow_log 'it ends with record [0-9]+, and had [0-9]+: 30 are missing at its end'
change 8
expect 0 kc m replicate-now >/dev/null
wait_for 20 "the master says it of the clone" audited m peer.log-cut failure '^KC0222W its audit log ends with record [0-9]+, it had [0-9]+'
expect 0 kc c1 restore-now >/dev/null
wait_for 20 "the clone says it of the master" audited c1 peer.log-cut failure '^KC0222W its audit log ends with record'
allow_log 'its audit log ends with record [0-9]+, it had [0-9]+: it was cut short'
finish
