#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# restore-by-hand: `backup restore` on master and clone, with and without a daemon: no row is lost by it that nobody gave
# up, keys made on a clone get home, and a restored master begins a child lineage that the fleet follows.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin restore-by-hand sqlite3 jq

allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed|refused|diverged): '
allow_log 'generation [0-9]+ (is not restored|of 127.0.0.1:[0-9]+)'
allow_log "replication task is down"
allow_log 'the key database is not what was last restored'
allow_log 'what is discarded was saved'

newest()
{
	kc "$1" --json backup list | jq -r "[.[] | select(.kind == \"$2\")] | last | .path"
}

# audited DIR EVENT OUTCOME PATTERN
audited()
{
	jq -r --arg e "$2" --arg o "$3" 'select(.event == $e and .outcome == $o) | "\(.code) \(.detail)"' \
		"$1/log/replication_audit.log" | grep -E -- "$4" >/dev/null
}

count()
{
	sqlite3 -readonly "$1/keydb.sqlite" 'SELECT count(*) FROM keys'
}

state_of()
{
	{ kc m --json status 2>/dev/null || true; } | jq -r '.clones[0].state' | grep -q -x -E "$1"
}

lineage_of()
{
	{ kc "$1" --json status 2>/dev/null || true; } | jq -r .lineage
}

# The rows that only the clone has may go: it gets what the master has.
give_up()
{
	expect 0 kc c1 diverged discard >/dev/null
	wait_for 30 "the clone has what the master has" eval '[ "$(dump m)" = "$(dump c1)" ]'
	wait_for 30 "the clone is current" state_of current
}

make_fleet 1
kc m config set backup.CheckFrequency=30d
kc m key generate --count 10
expect 0 kc m replicate-now --full >/dev/null
old=$(newest m full)
generation=$((10#$(basename "$old" | cut -d- -f4)))
cp "$old" old.age

say "keys made on a clone are carried home: only what is missing, by the running daemon"
stop_daemon m
kc c1 key generate --force --alias made-here
uuid=$(sqlite3 -readonly c1/keydb.sqlite "SELECT uuid FROM keys WHERE alias='made-here'")
kc c1 backup create --password-file pw --output home.age >/dev/null
start_daemon m
expect 65 kc m backup restore home.age --merge --password-file pw 2>err
grep -q 'signed by key .* which is not accepted here' err || fail "it says: $(cat err)"
kc m trust signer c1/secrets/signing.pub >/dev/null
some=$(sqlite3 -readonly m/keydb.sqlite 'SELECT uuid FROM keys LIMIT 1')
kc m key set-state "$some" compromised >/dev/null
expect 0 kc m backup restore home.age --merge --password-file pw >out
grep -q -E '^keys +1 +9 +1 +0$' out || fail "it says: $(cat out)"
grep -q "keys uuid=$some.*left alone" out || fail "it does not say what differs: $(cat out)"
equal "$(count m)" 11 "keys of the master"
equal "$(kc m key export made-here)" "$(kc c1 key export made-here)" "the key that was carried home"
equal "$(kc m --json key show "$some" | jq -r .state)" compromised "what was not missing"
expect 0 kc m backup restore home.age --merge --password-file pw --json >out
equal "$(jq -r '.added, .merged' out | xargs)" "0 true" "a second merge"
audited m backup.restore started 'by ' || fail "no record of the start"
audited m backup.restore success 'merged: 1 rows added, 1 differ' || fail "no record of the merge"
expect 2 kc c1 diverged list >out
grep -q "keys .*uuid=$uuid,alias=made-here" out || fail "diverged list says: $(cat out)"
expect 0 kc m replicate-now --no-wait >/dev/null
give_up

say "a name that is taken spoils the whole merge, and is named"
kc c1 key generate --force --alias taken
kc c1 key generate --force --alias free
kc c1 backup create --password-file pw --output clash.age >/dev/null
kc m key generate --alias taken
expect 1 kc m backup restore clash.age --merge --password-file pw >out 2>err
grep -q 'alias=taken: UNIQUE constraint failed: keys.alias' out || fail "it says: $(cat out)"
grep -q 'nothing was added' err || fail "it says: $(cat err)"
equal "$(count m)" 12 "keys of the master"
expect 77 kc c1 backup restore "$old" --merge 2>/dev/null
wait_for 20 "the clone's own keys are found" eval 'kc c1 diverged list >/dev/null; [ $? = 2 ]'
expect 0 kc m replicate-now --no-wait >/dev/null
give_up

say "on a master with its daemon: rows that would vanish are listed and refused"
before=$(dump m | sha256sum)
expect 77 kc m backup restore "$old" >out 2>err
grep -q "keys uuid=$uuid,alias=made-here" out || fail "it does not list them: $(cat out)"
grep -q 'rows of .*/m/keydb.sqlite are not in the backup' out || fail "it says: $(cat out)"
grep -q 'needs --discard' err || fail "it says: $(cat err)"
equal "$(dump m | sha256sum)" "$before" "the master's keys after a refusal"
expect 77 kc m backup restore "$old" --json >out 2>/dev/null
jq -e '.restored == false and .would_vanish == 3 and ([.rows[].only] | sort == ["changed", "here", "here"])' out >/dev/null || fail "it says: $(cat out)"
parent=$(lineage_of m)

say "with --discard: a safety backup, a child lineage, a full"
expect 0 kc m backup restore "$old" --discard >out
grep -q 'what was discarded is in ' out || fail "no safety backup: $(cat out)"
grep -q "Lineage .* begins, from generation $generation of ${parent:0:8}" out || fail "it says: $(cat out)"
equal "$(count m)" 10 "keys of the master"
child=$(lineage_of m)
[ "$child" != "$parent" ] || fail "no child lineage"
audited m backup.restore success '10 rows' || fail "no record of the restore"
safety=$(newest m safety)
[ -e "$safety" ] || fail "no safety backup"

say "a clone that was ahead of it has keys that it lacks: diverged, until somebody decides"
wait_for 30 "the clone is diverged" state_of diverged
expect 2 kc c1 diverged list >out
grep -q 'alias=made-here' out || fail "diverged list says: $(cat out)"
equal "$(count c1)" 12 "keys of the clone"
expect 0 kc m backup restore "$safety" --merge >out
equal "$(count m)" 12 "keys of the master"
expect 0 kc m replicate-now --no-wait >/dev/null
give_up
equal "$(lineage_of c1)" "$child" "the lineage that the clone follows"

say "without a daemon the same"
stop_daemon m
expect 77 kc m backup restore old.age >out 2>/dev/null
grep -q 'made-here' out || fail "it does not list them: $(cat out)"
expect 0 kc m backup restore old.age --discard >out
grep -q 'a full goes to every clone when keycloned is started' out || fail "it says: $(cat out)"
expect 0 kc m backup restore "$(newest m safety)" --merge >out
start_daemon m
[ "$(lineage_of m)" != "$child" ] || fail "no child lineage"
wait_for 30 "the clone has what the child has" state_of 'current|diverged'
if state_of diverged; then
	give_up
fi
expect 0 kc m replicate-now >/dev/null
same_keys m c1

say "a clone's restore by hand is what its master's next backup replaces"
kc m stop >/dev/null
expect 77 kc c1 backup restore old.age --password-file pw >out 2>/dev/null
expect 0 kc c1 backup restore old.age --password-file pw --discard >out
grep -q "its master's next backup replaces" out || fail "it says: $(cat out)"
equal "$(count c1)" 10 "keys of the clone"
audited c1 backup.restore success '10 rows' || fail "no record of the restore"
expect 0 kc c1 diverged list >/dev/null
kc m start >/dev/null
expect 0 kc m replicate-now >/dev/null
same_keys m c1

say "a foreign installation's needs --force, and its signer's acceptance"
keyclone init master --dir f --port 1 --password-file pw >/dev/null
kc f key generate --count 3
kc f backup create --output foreign.age >/dev/null
kc m trust signer f/secrets/signing.pub >/dev/null
expect 65 kc m backup restore foreign.age --merge --password-file pw 2>err
grep -q 'belongs to lineage' err || fail "it says: $(cat err)"
expect 65 kc m backup restore foreign.age --discard --password-file pw 2>err
grep -q 'belongs to lineage' err || fail "it says: $(cat err)"
expect 65 kc m backup restore foreign.age --merge --force --password-file pw 2>err
grep -q 'wrapped by another master key file' err || fail "it says: $(cat err)"
expect 0 kc m backup restore foreign.age --to elsewhere.sqlite --password-file pw --force >/dev/null
equal "$(sqlite3 elsewhere.sqlite 'SELECT count(*) FROM keys')" 3 "keys restored elsewhere"

finish
