#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# local-tables: replication.LocalTables: a clone's own application writes a table all the time, restores go on, nothing of
# it is lost and it is no divergence; the property may change, and what cannot be is said.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/fleet.sh"
begin local-tables sqlite3 python3 jq

allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed|refused|diverged): '
allow_log 'generation [0-9]+ is not restored'
allow_log 'the key database is not what was last restored'
allow_log 'replication.LocalTables'

replicas 1 500
sqlite3 m/keys.sqlite 'CREATE TABLE uses(id INTEGER PRIMARY KEY AUTOINCREMENT, who)'
configure c1 'replication.LocalTables=uses'
start_daemon c1
start_daemon m
expect 0 kc m replicate-now >/dev/null
same c1

say "a writer that goes on while 10 generations come"
python3 - c1/keys.sqlite ended <<'PY' &
import os, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
n = 0
while not os.path.exists(sys.argv[2]):
    db.execute("INSERT INTO uses(who) VALUES('me')")
    n += 1
    time.sleep(0.003)
rows = db.execute("SELECT count(*) FROM uses").fetchone()[0]
open("written", "w").write("%d %d\n" % (n, rows))
PY
HELPERS+=($!)
writer=$!
for ((i = 1; i <= 10; i++)); do
	change "$i"
	expect 0 kc m replicate-now >/dev/null
done
touch ended
wait "$writer"
read -r written rows <written
equal "$rows" "$written" "rows of the writer that are there"
[ "$written" -gt 20 ] || fail "the writer wrote $written rows only"
same c1
integrity c1
expect 0 kc c1 diverged list >/dev/null

say "a row of another table is divergence still"
sqlite3 c1/keys.sqlite "INSERT INTO keys SELECT 999999, 'mine', material, state, created, extra FROM keys LIMIT 1" 2>/dev/null ||
	sqlite3 c1/keys.sqlite "INSERT INTO keys VALUES(999999, 'mine', 'mine', 1, 0, x'00')"
wait_for 30 "the clone finds it" eval '! kc c1 diverged list >/dev/null'
sqlite3 c1/keys.sqlite "DELETE FROM keys WHERE id = 999999"
wait_for 30 "it is gone" eval 'kc c1 status >/dev/null'

say "the property changes: what was local counts again, and the other way round"
stop_daemon c1
sed -i '/^replication.LocalTables/d' c1/keyclone.properties
start_daemon c1
wait_for 30 "the rows of its application are divergence now" eval '! kc c1 status >/dev/null'
kc c1 diverged list >out || true
grep -q 'uses' out || fail "it says: $(cat out)"
stop_daemon c1
configure c1 'replication.LocalTables=uses'
start_daemon c1
wait_for 30 "they are local again" eval 'kc c1 status >/dev/null'
change 20
wait_for 30 "and restores go on" eval 'kc m replicate-now >/dev/null'
same c1

say "what cannot be carried over is said"
sqlite3 m/keys.sqlite 'DROP TABLE uses'
expect 1 kc m replicate-now >out 2>&1
{ kc m --json status || true; } | jq -r '.clones[0].last_error' | grep -q 'table uses is not in the backup' ||
	fail "it does not say why: $(cat out)"
sqlite3 m/keys.sqlite 'CREATE TABLE uses(id INTEGER PRIMARY KEY AUTOINCREMENT, who)'
change 30
wait_for 30 "it goes on" eval 'kc m replicate-now >/dev/null'
same c1

finish
