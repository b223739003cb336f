#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# change-log: increments of the built-in key database, from its change log: whoever writes, whatever somebody does to the
# log, the clones get what the master has; and the log stays on the master, in no backup and on no clone.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "$TOP_SRCDIR/tests/system/chain.sh"
begin change-log sqlite3 jq

CLONES=(c1 c2)
same()
{
	local name

	for name in "$@"; do
		same_keys m "$name"
	done
}

# sql STATEMENTS: by another program, with the schema's triggers
sql()
{
	sqlite3 -cmd '.timeout 10000' m/keydb.sqlite "$1"
}

log_objects()
{
	sqlite3 -readonly "$1" "SELECT count(*) FROM sqlite_master WHERE name LIKE 'keyclone_log%' OR sql LIKE '%keyclone_log%'"
}

some()
{
	sqlite3 -readonly m/keydb.sqlite "SELECT uuid FROM keys ORDER BY uuid LIMIT 1 OFFSET $1"
}

make_fleet 2 >/dev/null
kc m key generate --count 200 >/dev/null
expect 0 kc m replicate-now --full >/dev/null
arrives full

say "keys that are generated, changed and deleted: one increment, and both sides say what is in it"
# Chosen before: one of the new ones might be among the first.
changed=$(some 3) other=$(some 4) deleted=$(some 5)
kc m key generate --count 10 >/dev/null
kc m key set-state "$changed" compromised >/dev/null
kc m key set-state "$other" compromised >/dev/null
sql "DELETE FROM keys WHERE uuid = '$deleted'"
travels incr
says "^increment on generation $((G - 1)): keys \+10 ~2 -1\$"
for name in c1 c2; do
	equal "$(detail $name restore.end "$G")" 'keys +10 ~2 -1' "what $name says"
done

say "written by another program: the schema's triggers see it"
equal "$(log_objects m/keydb.sqlite)" 4 "table and triggers of the log"
before=$(sqlite3 -readonly m/keydb.sqlite 'SELECT max(seq) FROM keyclone_log')
sql "UPDATE keys SET grp = 'theirs' WHERE uuid = '$(some 7)'; DELETE FROM keys WHERE uuid = '$(some 8)'"
[ "$(sqlite3 -readonly m/keydb.sqlite 'SELECT max(seq) FROM keyclone_log')" -gt "$before" ] || fail "the log does not grow"
travels incr
says 'keys \+0 ~1 -1$'

say "… a key under another uuid, and REPLACE, which deletes without a trigger"
sql "UPDATE keys SET uuid = 'ffffffff' || substr(uuid, 9) WHERE uuid = '$(some 9)'"
travels incr
says 'keys \+1 ~0 -1$'
one=$(some 10) two=$(some 11)
sql "UPDATE keys SET alias = 'taken' WHERE uuid = '$one'"
travels incr
sql "UPDATE OR REPLACE keys SET alias = 'taken' WHERE uuid = '$two'"
equal "$(sqlite3 -readonly m/keydb.sqlite "SELECT count(*) FROM keys WHERE uuid = '$one'")" 0
arrives

say "the log's table is dropped by hand"
kc m key generate --count 2 >/dev/null
sql 'DROP TABLE keyclone_log' # the triggers stay, and would fail
arrives
kc m key generate --count 2 >/dev/null
travels incr
says 'keys \+2 ~0 -0$'
equal "$(log_objects m/keydb.sqlite)" 4 "table and triggers of the log"

say "… with its triggers, and something is written meanwhile"
for trigger in insert update delete; do
	sql "DROP TRIGGER keyclone_log_$trigger"
done
sql "DROP TABLE keyclone_log; UPDATE keys SET grp = 'unseen' WHERE uuid = '$(some 20)'"
arrives
sql "UPDATE keys SET grp = 'seen' WHERE uuid = '$(some 21)'"
travels incr

say "… emptied, and filled again with other rows"
sql "UPDATE keys SET grp = 'hidden' WHERE uuid = '$(some 30)'; DELETE FROM keyclone_log"
arrives
sql "UPDATE keys SET grp = 'hidden too' WHERE uuid = '$(some 31)'; DELETE FROM keyclone_log;
	UPDATE keys SET grp = 'logged' WHERE uuid = '$(some 32)'"
arrives
first=$(some 35)
sql "DELETE FROM keyclone_log; UPDATE keys SET grp = 'one' WHERE uuid = '$first'"
arrives
sql "UPDATE keys SET grp = 'hidden too' WHERE uuid = '$(some 36)'; DELETE FROM keyclone_log; UPDATE keys SET grp = 'two' WHERE uuid = '$first'"
arrives
sql "UPDATE keys SET grp = 'hidden again' WHERE uuid = '$(some 33)'; UPDATE keyclone_log SET uuid = 'nobody'"
arrives

say "… what somebody took off its end is found when all rows are counted"
kc m key generate >/dev/null
travels incr
sql "UPDATE keys SET grp = 'hidden at last' WHERE uuid = '$(some 34)'; DELETE FROM keyclone_log WHERE seq = (SELECT max(seq) FROM keyclone_log)"
expect 0 kc m replicate-now --full >/dev/null
arrives full

say "… and rows of it that name no key do no harm"
sql "INSERT INTO keyclone_log(uuid) VALUES('nobody'), ('$(some 1)')"
nothing_new
sql "INSERT INTO keyclone_log(uuid) VALUES('nobody')"
kc m key generate >/dev/null
travels incr
says 'keys \+1 ~0 -0$'

say "it is in no backup and on no clone"
arrives
kc m key generate >/dev/null
travels full --full
kc m backup restore "$(backup_of "$G")" --to full.db >/dev/null
equal "$(log_objects full.db)" 0 "in the full"
kc m key generate >/dev/null
travels incr
kc m backup restore "$(backup_of "$G")" --to incr.db >/dev/null
equal "$(log_objects incr.db)" 0 "in what the increment makes of it"
equal "$(log_objects "$(echo m/.keyclone/base/*-"$G".sqlite)")" 0 "in the base"
for name in "${CLONES[@]}"; do
	equal "$(log_objects $name/keydb.sqlite)" 0 "on $name"
	expect 0 kc $name diverged list >/dev/null
done

say "the daemon is restarted: all is compared once, then the log is read again"
stop_daemon m
kc m key generate >/dev/null
sql "UPDATE keys SET grp = 'restarted' WHERE uuid = '$(some 40)'"
start_daemon m
travels incr
says 'keys \+1 ~1 -0$'
kc m key generate >/dev/null
travels incr
finish
