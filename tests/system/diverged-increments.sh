#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# diverged-increments: other hands wrote to a clone's database, and an increment comes: it is refused, the rows are listed
# although what was applied last is an increment itself, and giving them up ends with a full; tables that are the
# clone's own stay as they are.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "$TOP_SRCDIR/tests/system/fleet.sh"
. "$TOP_SRCDIR/tests/system/chain.sh"
begin diverged-increments sqlite3 jq python3

allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed|refused|diverged): '
allow_log 'the key database is not what was last restored'
allow_log 'what is discarded was saved'
allow_log 'generation [0-9]+ (is not restored|of 127.0.0.1:[0-9]+)'

CLONES=(c1 c2)
serial=0

sql()
{
	sqlite3 -cmd '.timeout 10000' "$1/keys.sqlite" "$2"
}

some_change()
{
	serial=$((serial + 1))
	sql m "UPDATE keys SET state = $serial, alias = 'serial $serial' WHERE id <= 5; DELETE FROM keys WHERE id = 100 + $serial;
		INSERT INTO keys(uuid, alias, created, material) VALUES('serial $serial', 'new', $serial, x'00')"
}

replicas 2 3000
for name in m c1 c2; do
	sqlite3 $name/keys.sqlite 'CREATE TABLE uses(id INTEGER PRIMARY KEY AUTOINCREMENT, who)'
done
configure c2 'replication.LocalTables=uses'
start_daemon c1
start_daemon c2
start_daemon m
travels full
for i in 1 2 3; do
	some_change
	travels incr
done

say "local tables: the clone's rows stay, the master's change"
sql c2 "INSERT INTO uses(who) VALUES('me'), ('me'), ('you')"
for i in 1 2; do
	some_change
	travels incr
	equal "$(sql c2 'SELECT count(*), max(id) FROM uses')" '3|3' "rows of the clone's own"
done
sql c2 "DELETE FROM uses WHERE id = 2; UPDATE uses SET who = 'them' WHERE id = 3"
some_change
travels incr
equal "$(sql c2 "SELECT group_concat(id || who) FROM (SELECT * FROM uses ORDER BY id)")" '1me,3them' "rows of the clone's own"
expect 0 kc c2 diverged list >/dev/null

say "the master writes the table that is local there: no increment helps that clone, a full does"
sql m "INSERT INTO uses(who) VALUES('master')"
some_change
arrives
equal "$(sql c2 'SELECT count(*) FROM uses')" 2 "rows of the clone's own"
equal "$(sql c1 'SELECT count(*) FROM uses')" 1 "rows of the other clone"
some_change
travels incr
expect 0 kc m status >/dev/null

say "rows that the master did not make: the increment is refused, and they are listed"
own=$(sql c1 'SELECT max(id) + 1 FROM keys')
before=$G
sql c1 "INSERT INTO keys(uuid, alias, created, material) VALUES('only here', 'own', 1, x'01');
	UPDATE keys SET alias = 'theirs' WHERE id = 50; DELETE FROM keys WHERE id = 51"
mine=$(contents c1)
some_change
expect 1 kc m replicate-now >/dev/null 2>&1
G=$(generation)
equal "$G" $((before + 1)) generation
equal "$(kind_of "$G")" incr
equal "$(contents c1)" "$mine" "the tables of a clone that has diverged"
same c2
field_is c1 state '^diverged$' || fail "c1 is $(field c1 state)"
equal "$(kind_of "$before" c1)" incr "what it applied last"
expect 2 kc c1 diverged list >out
grep -q -E "^here +keys +id=$own\$" out || fail "it says: $(cat out)"
grep -q -E '^changed +keys +id=50$' out || fail "it says: $(cat out)"
grep -q -E '^master +keys +id=51$' out || fail "it says: $(cat out)"
kc c1 --json diverged list >out || true
equal "$(jq -c '[.only_here, .changed, .only_master]' out)" '[1,1,1]' "rows that differ"
some_change
expect 1 kc m replicate-now >/dev/null 2>&1
equal "$(contents c1)" "$mine" "the tables of a clone that has diverged"

say "given up: a full, and current; then increments again"
expect 0 kc c1 diverged discard >/dev/null
wait_for 40 "c1 is current" is_current c1
same c1 c2
G=$(generation)
equal "$(kind_of "$G")" full "what was sent to the clone that gave its rows up"
ls c1/backups | grep -q -- '-safety-' || fail "no safety backup"
some_change
travels incr

say "… on the master"
sql c1 "INSERT INTO keys(uuid, alias, created, material) VALUES('only here', 'own', 1, x'01')"
some_change
expect 1 kc m replicate-now >/dev/null 2>&1
expect 0 kc m diverged discard --clone "$(address_of c1)" >/dev/null
wait_for 40 "c1 is current" is_current c1
same c1 c2
G=$(generation)
some_change
travels incr

say "what a restore found, and was given up, is not found anew by a look before the full is there"
looks()
{
	[ "$(grep -c 'the key database was looked at' c1.log)" -gt "$1" ]
}
stop_daemon c1
start_daemon c1 --debug
wait_for 20 "a look" looks 0
wait_for 20 "c1 is there again" is_current c1
sql c1 "INSERT INTO keys(uuid, alias, created, material) VALUES('only here', 'own', 1, x'01')"
some_change
expect 1 kc m replicate-now >/dev/null 2>&1
equal "$(kind_of "$(generation)")" incr
stop_daemon m
expect 0 kc c1 diverged discard >/dev/null
wait_for 20 "another look" looks "$(grep -c 'the key database was looked at' c1.log)"
equal "$({ kc c1 --json status || true; } | jq .self.diverged)" false "diverged anew"
start_daemon m
wait_for 40 "c1 is current" is_current c1
same c1 c2
G=$(generation)
some_change
travels incr

say "rows that go away again: the increments that it missed come"
sql c1 "INSERT INTO keys(uuid, alias, created, material) VALUES('only here', 'own', 1, x'01')"
before=$G
some_change
expect 1 kc m replicate-now >/dev/null 2>&1
some_change
expect 1 kc m replicate-now >/dev/null 2>&1
sql c1 "DELETE FROM keys WHERE uuid = 'only here'"
wait_for 40 "c1 is current" is_current c1
same c1 c2
G=$(generation)
equal "$G" $((before + 2)) "no other generation was made for it"
some_change
travels incr
integrity c1
integrity c2
[ "$(grep -c 'declined: ' c1.log)" -lt 10 ] || fail "it was offered the same $(grep -c 'declined: ' c1.log) times"
finish
