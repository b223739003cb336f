#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# increments: a change travels as an increment, of another manager's key database; what cannot travel so, is due, or has
# lost what it would build on is a full, and the audit says why; a clone that is not helped by one is sent a full.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "$TOP_SRCDIR/tests/system/fleet.sh"
. "$TOP_SRCDIR/tests/system/chain.sh"
begin increments sqlite3 jq python3

CLONES=(c1 c2)

# sql STATEMENTS: on the master
sql()
{
	sqlite3 -cmd '.timeout 10000' m/keys.sqlite "$1"
}

# insert N: keys that were not there
insert()
{
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO keys(uuid, alias, created, material) SELECT hex(randomblob(16)), 'new', i, randomblob(48) FROM n"
}

replicas 2 300
start_daemon c1
start_daemon c2
start_daemon m

say "the first is a full"
travels full
equal "$G" 1

say "rows that are inserted, updated and deleted: one increment, and both sides say what is in it"
insert 10
sql "UPDATE keys SET state = state + 1 WHERE id IN (1, 2); DELETE FROM keys WHERE id = 3"
travels incr
says '^increment on generation 1: keys \+10 ~2 -1$'
for name in c1 c2; do
	equal "$(detail $name restore.end 2)" 'keys +10 ~2 -1' "what $name says"
	equal "$(kind_of 2 $name)" incr
done
size=$(stat -c %s "$(backup_of 1)")
[ $(($(stat -c %s "$(backup_of 2)") * 4)) -lt "$size" ] || fail "an increment of $(stat -c %s "$(backup_of 2)") bytes, the full has $size"

say "two tables, one of them without row ids; a key that becomes another"
sql "INSERT INTO attributes SELECT uuid, 'zone', 'A' FROM keys WHERE id <= 5; DELETE FROM attributes WHERE name = 'owner' AND key IN (SELECT key FROM attributes WHERE name = 'owner' ORDER BY key LIMIT 1);
	UPDATE keys SET id = 99999 WHERE id = 7; UPDATE keys SET alias = NULL, created = 1.5, material = x'00' WHERE id = 8"
travels incr
says '^increment on generation 2: .*keys \+1 ~1 -1'
says 'attributes \+4 ~0 -1'

say "at random"
for ((i = 1; i <= 3; i++)); do
	change $i 40
	travels incr
done
integrity c1

say "what is the same again is nothing new"
sql "UPDATE keys SET state = state + 1; UPDATE keys SET state = state - 1"
nothing_new

say "the master is restarted in between: it counts its base, and goes on"
stop_daemon m
insert 3
start_daemon m
travels incr
says 'keys \+3 ~0 -0$'

say "a full that is asked for"
insert 1
travels full --full
insert 1
travels incr

say "another schema is a full, and the audit says why"
sql 'CREATE INDEX by_state ON keys(state)'
insert 1
travels full
says '^full: the schema has changed'
insert 1
travels incr
sql 'CREATE TABLE loose(x); INSERT INTO loose VALUES(1)'
travels full
insert 1
travels incr
sql 'INSERT INTO loose VALUES(2)'
travels full
says '^full: .*loose.*key'
equal "$(sqlite3 -readonly c2/keys.sqlite 'SELECT count(*) FROM loose')" 2 "rows of the table without a key"
sql 'DROP TABLE loose'
travels full
insert 1
travels incr

say "the base is gone, or damaged: a full, and the audit says why"
rm m/.keyclone/base/*
insert 1
travels full
says '^full: .*base.*is not there$'
insert 1
travels incr
stop_daemon m
sqlite3 "$(echo m/.keyclone/base/*-"$G".sqlite)" 'DELETE FROM keys WHERE id = 1'
insert 1
start_daemon m
travels full
says '^full: .*not what was replicated last$'
insert 1
travels incr
stop_daemon m
printf 'nothing' >"$(echo m/.keyclone/base/*-"$G".sqlite)"
insert 1
start_daemon m
travels full
says '^full: .*base'
insert 1
travels incr

say "the key of the chain is gone on the master: a full"
rm m/secrets/increments/*.key
insert 1
travels full
says '^full: .*increments/.*No such file'
equal "$(find m/secrets/increments -type f | wc -l)" 1 "keys of chains that are kept, with one backup of their fulls"
insert 1
travels incr

say "… on a clone: it is sent a full by itself, and everybody goes on"
rm c1/secrets/increments/*.key
insert 1
arrives full
expect 0 kc m status >/dev/null
insert 1
travels incr

say "a new password and a removed clone begin a new chain"
sed -i '/^backup.ObfuscatedEncryptionPassword=/d' m/keyclone.properties
configure m 'backup.EncryptionPassword=quite another one'
expect 0 kc m reload >/dev/null
new_full()
{
	[ "$(kind_of "$(generation)")" = full ] && is_current c1
}
wait_for 20 "a full under the new password" new_full
G=$(generation)
insert 1
travels incr
expect 0 kc m clone remove "$(address_of c2)" >/dev/null
CLONES=(c1)
wait_for 20 "a full without the clone that was removed" new_full
G=$(generation)
insert 1
travels incr

say "backup.FullFrequency=0: fulls alone"
expect 0 kc m config set backup.FullFrequency=0 >/dev/null
expect 0 kc m reload >/dev/null
insert 1
travels full
insert 1
travels full

say "… a second: a full where that is due and something changed, else none"
expect 0 kc m config set backup.FullFrequency=1s >/dev/null
expect 0 kc m reload >/dev/null
insert 1
travels full
made=$SECONDS
wait_for 5 "the second" eval '[ $SECONDS -gt $((made + 1)) ]'
nothing_new
insert 1
travels full
integrity c1
expect 0 kc m audit --verify >/dev/null
expect 0 kc c1 audit --verify >/dev/null
finish
