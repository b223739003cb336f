#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# diverged: a clone finds by itself that other hands wrote to its database, with and without its master; says which rows,
# and that they are gone again; they are given up on the clone or on the master, and never lost.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin diverged sqlite3 jq

allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed|refused|diverged): '
allow_log 'the key database is not what was last restored'
allow_log 'what is discarded was saved'

# audited DIR EVENT OUTCOME PATTERN
audited()
{
	jq -r --arg e "$2" --arg o "$3" 'select(.event == $e and .outcome == $o) | "\(.code) \(.detail)"' \
		"$1/log/replication_audit.log" | grep -E -- "$4" >/dev/null
}

self_is()
{
	[ "$({ kc c1 --json status 2>/dev/null || true; } | jq -r .self.diverged)" = "$1" ]
}

state_of()
{
	{ kc m --json status 2>/dev/null || true; } | jq -r '.clones[0].state' | grep -q -x "$1"
}

alerts()
{
	{ kc "$1" --json status 2>/dev/null || true; } | jq -r '.alerts[].alert' | grep -q -x "$2"
}

make_fleet 1
kc m key generate --count 5
expect 0 kc m replicate-now >/dev/null
stop_daemon m

say "found without a master, listed, alerted"
uuid=$(sqlite3 -readonly c1/keydb.sqlite 'SELECT uuid FROM keys ORDER BY uuid LIMIT 1')
gone=$(sqlite3 -readonly c1/keydb.sqlite 'SELECT uuid FROM keys ORDER BY uuid DESC LIMIT 1')
kc c1 key generate --force --alias own
sqlite3 c1/keydb.sqlite "UPDATE keys SET grp='theirs' WHERE uuid='$uuid'; DELETE FROM keys WHERE uuid='$gone'"
wait_for 30 "the clone finds it by itself" self_is true
expect 2 kc c1 diverged list >out
grep -q -E '^here +keys +uuid=.*,alias=own$' out || fail "it says: $(cat out)"
grep -q -E "^changed +keys +uuid=$uuid" out || fail "it says: $(cat out)"
grep -q -E "^master +keys +uuid=$gone" out || fail "it says: $(cat out)"
kc c1 --json diverged list >out || true
equal "$(jq -c '[.only_here, .changed, .only_master]' out)" '[1,1,1]' "rows that differ"
audited c1 clone.diverged failure 'alias=own' || fail "no audit record"
alerts c1 diverged || fail "no alert"
stop_daemon c1
start_daemon c1
self_is true || fail "forgotten over a restart"
equal "$(jq -c 'select(.event == "clone.diverged" and .outcome == "failure")' c1/log/replication_audit.log | wc -l)" 1 \
	"records of one divergence"

say "the master is told"
start_daemon m
wait_for 30 "the master knows" state_of diverged
{ kc m --json status || true; } | jq -r '.clones[0].last_error' | grep -q 'alias=own' || fail "it does not know which rows"
wait_for 10 "the master alerts" alerts m clone.diverged
before=$(dump c1)
expect 1 kc m replicate-now >/dev/null
equal "$(dump c1)" "$before" "a diverged clone's keys"

say "given up on the master"
expect 64 kc m diverged discard 2>/dev/null
expect 64 kc m diverged discard --clone nobody 2>/dev/null
expect 0 kc m diverged discard --clone "127.0.0.1:$PORT" >/dev/null
wait_for 30 "the clone has the master's keys" eval '[ "$(dump m)" = "$(dump c1)" ]'
wait_for 30 "the clone is current" state_of current
self_is false || fail "still diverged"
ls c1/backups | grep -q -- '-safety-' || fail "no safety backup"
audited c1 clone.discarded started 'by an operator of its master' || fail "no record on the clone"
audited m clone.discarded started 'by ' || fail "no record on the master"
expect 1 kc m diverged discard --clone "127.0.0.1:$PORT" 2>/dev/null
wait_for 10 "the alerts are over" eval '! alerts c1 diverged && ! alerts m clone.diverged'
kc m key generate --count 1 >/dev/null
expect 0 kc m replicate-now >out # on the session that began with the word that it has diverged

say "rows that go away again are no divergence any more, and what was missed comes"
kc c1 key generate --force --alias passing
wait_for 30 "the clone finds it" self_is true
wait_for 30 "the master knows" state_of diverged
kc m key generate --count 2
sqlite3 c1/keydb.sqlite "DELETE FROM keys WHERE alias='passing'"
wait_for 30 "the clone finds that it is gone" self_is false
audited c1 clone.diverged success 'again' || fail "no audit record"
wait_for 30 "the clone is current" state_of current
expect 0 kc m replicate-now >/dev/null
same_keys m c1

finish
