#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A run that would delete too much is held: nothing is sent, no generation is used up, and everybody says so, also after
# a restart. It ends when the rows are back, or by --allow-deletes, once.

. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin held-run jq sqlite3

allow_log 'a replication run is held'
allow_log 'what is held stays held'

generation()
{
	kc m --json status | jq .generation
}

rows()
{
	sqlite3 "$1/keydb.sqlite" 'SELECT count(*) FROM keys'
}

delete()
{
	sqlite3 -cmd '.timeout 10000' m/keydb.sqlite "DELETE FROM keys WHERE rowid IN (SELECT rowid FROM keys ORDER BY rowid LIMIT $1)"
}

# replicate-now that has to be held, with these figures.
held_with()
{
	expect 1 kc m replicate-now >now.txt 2>&1
	grep -q "held: $1 rows of table keys would be deleted" now.txt || fail "not held: $(cat now.txt)"
}

make_fleet 2
kc m key generate --count 100
kc m replicate-now
G=$(generation)

say "a mass deletion is held"
sqlite3 m/keydb.sqlite ".backup m/before.sqlite"
delete 60
held_with "60 of 100"
equal "$(rows c1)" 100
equal "$(generation)" "$G" "a held run has used up a generation"
equal "$(sqlite3 m/state/state.db 'SELECT generation FROM self')" "$G" "a held run has reserved a generation"
expect 2 kc m --json status >status.json
equal "$(jq -r .held.table status.json)" keys
equal "$(jq '.held.deleted, .held.rows' status.json | tr '\n' ' ')" "60 100 "
(kc m status || true) >status.txt
grep -q 'HELD since .*60 of 100 rows of table keys' status.txt
kc m audit --event run.held >audit.txt
grep -q '60 of 100' audit.txt
jq -e '[.alerts[].alert] | index("run.held") != null' status.json >/dev/null || fail "no alert"

say "… also as a full, and by fifty deleted and fifty made"
expect 1 kc m replicate-now --full >/dev/null 2>&1
kc m key generate --count 60
held_with "60 of 100"
equal "$(rows c1)" 100

say "… and after a restart"
stop_daemon m
start_daemon m
held_with "60 of 100"
equal "$(kc m --json status | jq .held.deleted)" 60
equal "$(rows c2)" 100

say "… even where the base is gone"
stop_daemon m
rm -rf m/.keyclone/base
start_daemon m
held_with "60 of 100"
stop_daemon m
start_daemon m

say "allowed, once"
kc m replicate-now --allow-deletes
equal "$(rows c1)" 100
same_keys m c1
same_keys m c2
equal "$(generation)" $((G + 1))
equal "$(kc m --json status | jq .held)" null
kc m audit --event run.held >audit.txt
grep -q 'allowed by an operator' audit.txt
delete 30
held_with "30 of 100"

say "rows that come back end it"
sqlite3 m/keydb.sqlite "ATTACH 'c1/keydb.sqlite' AS c; INSERT OR IGNORE INTO keys SELECT * FROM c.keys"
kc m replicate-now
equal "$(generation)" $((G + 1)) "what is the same was replicated"
equal "$(kc m --json status | jq '.held, .unreplicated_since' | tr '\n' ' ')" "null null "
kc m status >/dev/null

say "ten rows at least"
delete 92
kc m replicate-now --allow-deletes
equal "$(rows c1)" 8
delete 8
kc m replicate-now
equal "$(rows c1)" 0

say "turned off"
kc m key generate --count 50
kc m replicate-now
kc m config set backup.MaxDeletePercent=0
kc m reload
delete 50
kc m replicate-now
equal "$(rows c1)" 0

finish
