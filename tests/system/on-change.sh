# SPDX-License-Identifier: Apache-2.0
# backup.OnChange: a key that is committed on the master comes to its clone without anybody asking, and without the
# schedule; what only looks like a change makes no run; without OnChange it waits, and status knows since when.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin on-change jq sqlite3

make_master m
make_clone c1
kc m config set backup.OnChange=true backup.CheckFrequency=30d backup.KeyDerivationWork=15
start_daemon c1
start_daemon m
grep -q 'checks every 43200 min, and as soon as the database changes' m.log || fail "the first line does not say the schedule"

status()
{
	kc m --json status
}

has()
{
	[ "$(kc c1 key list | grep -c "$1")" = 1 ]
}

idle()
{
	status | jq -e '.run == null and .unreplicated_since == null and .clones[0].state == "current"'
}

wait_for 30 "the first generation" idle

say "keys one after the other, each on the clone before the next"
for ((i = 1; i <= 4; i++)); do
	kc m key generate --alias "soon$i" >/dev/null
	wait_for 20 "key soon$i on the clone" has "soon$i"
done
wait_for 20 "the run's end" idle

say "a burst"
for ((i = 1; i <= 10; i++)); do
	kc m key generate --alias "burst$i" >/dev/null
done
wait_for 20 "the last of the burst" has 'burst10\b'
wait_for 20 "the run's end" idle
same_keys m c1

say "another program's commit, in each journal mode"
for mode in delete wal; do
	stop_daemon m
	sqlite3 m/keydb.sqlite "PRAGMA journal_mode = $mode" >/dev/null
	start_daemon m
	wait_for 20 "the look of the start" idle
	sqlite3 m/keydb.sqlite "UPDATE keys SET alias = 'mode-$mode' WHERE alias = 'burst1' OR alias LIKE 'mode-%'"
	wait_for 20 "the change in mode $mode" has "mode-$mode"
	wait_for 20 "the run's end" idle
done

say "what is rolled back or only read makes no generation"
before=$(status | jq .generation)
sqlite3 m/keydb.sqlite "BEGIN IMMEDIATE; CREATE TABLE x(y); INSERT INTO x VALUES(1); ROLLBACK" \
	'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
kc m key list >/dev/null
kc m --json replicate-now >/dev/null # joins the look that this asked for, if it did
equal "$(status | jq .generation)" "$before" "generation"

say "it was neither a schedule nor a request that sent the others"
equal "$(jq -r 'select(.event == "replication.start") | .generation' m/log/replication_audit.log | sort -n | uniq -d)" "" \
	"generations with two runs"

say "without OnChange it waits, and status knows since when"
# With a daily hour half a day away nothing else looks.
kc m config set backup.OnChange=false backup.DailyStartReplicationBackupTime="$(date -d '+12 hours' +%H:%M)" >/dev/null
kc m reload >/dev/null
wait_for 20 "the reload" idle
kc m key generate --alias waits >/dev/null
wait_for 20 "status shows it" sh -c "keyclone -c m/keyclone.properties --json status | jq -e '.unreplicated_since != null'"
kc m status | grep -q '^Changes that are in no backup yet, since ' || fail "the text does not say it"
has waits && fail "it was sent"
expect 2 kc m backup needed >out
grep -q '^CTGKM1305I ' out && grep -q 'is not what generation' out || fail "it says: $(cat out)"
kc m replicate-now >/dev/null
has waits || fail "it was not sent"
status | jq -e '.unreplicated_since == null' >/dev/null || fail "still unreplicated"
expect 0 kc m backup needed >out
grep -q '^CTGKM1304I ' out || fail "it says: $(cat out)"
stop_daemon m
expect 0 kc m backup needed >/dev/null
kc m key generate >/dev/null
expect 2 kc m backup needed >/dev/null
expect 0 kc c1 backup needed >/dev/null

finish
