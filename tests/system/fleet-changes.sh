#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The fleet changes while it runs: a clone is held and resumed, removed and added; the task is stopped and started, and
# the other side says so; nothing of the others is broken, and each run's end in the audit is the last word of it.

. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin fleet-changes jq sqlite3

allow_log 'the replication task is down'
allow_log "the master's replication task is down"
allow_log 'another identity'

# clone_state PORT, applied PORT: of a clone, as the master says.
clone_is()
{
	kc m --json status | jq -r ".clones[] | select(.port == $1) | .$2"
}

is_state()
{
	[ "$(clone_is "$1" state)" = "$2" ]
}

says_stopped()
{
	[ "$(clone_is "$1" stopped)" = true ]
}

# Each replication.start has its end, and nothing is pushed between an end and the next start.
runs_are_closed()
{
	kc m --json audit | jq -s -e '
		if length == 1 and (.[0] | type) == "array" then .[0] else . end
		| map(select(.event == "replication.start" or .event == "replication.end" or (.event == "push.start" and .generation)))
		| reduce .[] as $r ({open: false, good: true};
			if $r.event == "replication.start" then .open = true
			elif $r.event == "replication.end" then .good = (.good and .open) | .open = false
			else .good = (.good and .open) end)
		| .good' >/dev/null
}

make_fleet 3
P1=$(sed -n 's/^restore.ListenPort *= *//p' c1/keyclone.properties)
P2=$(sed -n 's/^restore.ListenPort *= *//p' c2/keyclone.properties)
P3=$(sed -n 's/^restore.ListenPort *= *//p' c3/keyclone.properties)
kc m key generate --count 5
kc m replicate-now

say "a held clone gets nothing, the others do"
kc m clone hold "127.0.0.1:$P2" | grep 'is held' >/dev/null
kc m clone hold "127.0.0.1:$P2" | grep 'held already' >/dev/null
kc m clone list | grep "127.0.0.1:$P2  held" >/dev/null
kc m key generate --count 5
expect 1 kc m replicate-now >now.txt 2>&1
grep -q '1 of 3 clones held' now.txt || fail "replicate-now does not say held: $(cat now.txt)"
same_keys m c1
same_keys m c3
equal "$(sqlite3 c2/keydb.sqlite 'SELECT count(*) FROM keys')" 5 "a held clone was sent keys"
equal "$(clone_is "$P2" state)" held
expect 2 kc m status >/dev/null

say "… also over a restart"
stop_daemon m
start_daemon m
equal "$(clone_is "$P2" state)" held
expect 1 kc m replicate-now --clone "127.0.0.1:$P2" >/dev/null 2>&1
equal "$(sqlite3 c2/keydb.sqlite 'SELECT count(*) FROM keys')" 5

say "… until it is resumed"
kc m clone resume "127.0.0.1:$P2" | grep resumed >/dev/null
wait_for 20 "the resumed clone" is_state "$P2" current
same_keys m c2
kc m audit | grep clone.held >/dev/null
kc m audit | grep clone.resumed >/dev/null

say "hold and resume without a daemon"
stop_daemon m
kc m clone hold "127.0.0.1:$P2"
kc m clone list | grep "127.0.0.1:$P2  held" >/dev/null
start_daemon m
equal "$(clone_is "$P2" state)" held
kc m clone resume "127.0.0.1:$P2"
wait_for 20 "the resumed clone" is_state "$P2" current

say "a removed clone: a new full with a new key for the others"
before=$(kc m --json status | jq .generation)
kc m clone remove "127.0.0.1:$P3" >removed.txt
grep -q 'still holds the keys' removed.txt
has_new_full()
{
	[ "$(kc m --json status | jq .generation)" -gt "$before" ] && is_state "$P1" current && is_state "$P2" current
}
wait_for 20 "the new full" has_new_full
equal "$(kc m --json status | jq '.clones | length')" 2
grep -q "127.0.0.1:$P3" m/secrets/recipients && fail "the pin of a removed clone stays"
kc m clone add "127.0.0.1:$P3" >/dev/null
wait_for 20 "the clone that was added again" is_state "$P3" current

say "stop on the master: shown on both sides, over restarts"
kc m stop | grep CTGKM2208I >/dev/null
kc m stop | grep CTGKM2210W >/dev/null
master_is_stopped()
{
	[ "$(kc "$1" --json status | jq .self.master.stopped)" = "$2" ]
}
wait_for 20 "the clone to hear of it" master_is_stopped c1 true
kc c1 status | grep 'its replication task is DOWN' >/dev/null
kc m key generate
stop_daemon m
start_daemon m
expect 2 kc m status >/dev/null
equal "$(kc m --json status | jq -r .task)" DOWN
equal "$(sqlite3 c1/keydb.sqlite 'SELECT count(*) FROM keys')" 10 "a stopped master has pushed"
kc m start | grep CTGKM2209I >/dev/null
kc m start | grep CTGKM2207W >/dev/null
wait_for 20 "the clone to hear of it" master_is_stopped c1 false
wait_for 20 "what was written meanwhile" is_state "$P1" current
kc m replicate-now >/dev/null
same_keys m c1

say "stop on a clone: the master says so"
kc c1 stop | grep CTGKM2208I >/dev/null
wait_for 20 "the master to hear of it" says_stopped "$P1"
kc m key generate
expect 1 kc m replicate-now >/dev/null 2>&1
equal "$(clone_is "$P1" state)" stopped
(kc m status || true) | grep "127.0.0.1:$P1 *stopped" >/dev/null || fail "status does not show it"
same_keys m c2
kc c1 start >/dev/null
wait_for 20 "the started clone" is_state "$P1" current
same_keys m c1

say "two at once join"
kc m key generate
kc m replicate-now >/dev/null & one=$!
kc m replicate-now >/dev/null & two=$!
wait $one
wait $two
same_keys m c1

say "a clone that was down: its run is in the audit like any other"
allow_log "clone 127.0.0.1:$P1: unreachable"
stop_daemon c1
kc m key generate
expect 1 kc m replicate-now >/dev/null 2>&1
start_daemon c1
wait_for 30 "the clone that was down" is_state "$P1" current
runs_end_well()
{
	kc m --json audit --event replication | jq -s -e 'flatten | .[-1] | .event == "replication.end" and .outcome == "success"' >/dev/null
}
wait_for 10 "the run's end" runs_end_well
runs_are_closed || fail "a push outside a run"

finish
