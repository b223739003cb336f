#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# catch-up: a clone that lacks several generations gets exactly the increments that it lacks, one after the other on one
# session; with an hour it stores them and applies them in their order; whatever is lost on the way, it ends current.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "$TOP_SRCDIR/tests/system/fleet.sh"
. "$TOP_SRCDIR/tests/system/chain.sh"
begin catch-up sqlite3 jq python3 pgrep

allow_log 'warning: clone .*: unreachable: '
SEED=${KC_SEED:-$RANDOM}
RANDOM=$SEED
say "seed $SEED"

CLONES=(c1)
serial=0

# some_change: another state of the master, which every reader can tell: keys 1 and 2 say the same number
some_change()
{
	serial=$((serial + 1))
	sqlite3 -cmd '.timeout 10000' m/keys.sqlite "UPDATE keys SET state = $serial, alias = 'serial $serial' WHERE id <= 20;
		INSERT INTO attributes VALUES('serial $serial', 'x', 'y'); DELETE FROM keys WHERE id = 100 + $serial"
}

# events DIR EVENT OUTCOME FROM: how many such records about generations from this one on
events()
{
	jq -s --arg e "$2" --arg o "$3" --argjson g "$4" \
		'[.[] | select(.event == $e and .outcome == $o and .generation >= $g)] | length' "$1/log/replication_audit.log"
}

generations()
{
	jq -s -r --arg e "$2" --argjson g "$3" \
		'[.[] | select(.event == $e and .outcome == "success" and .generation >= $g) | .generation] | join(" ")' "$1/log/replication_audit.log"
}

own_is() { [ "$(kc "$1" --json status | jq -r ".self.$2")" = "$3" ]; }

# make N: changes while nobody listens, a generation each
make()
{
	local i

	for ((i = 0; i < $1; i++)); do
		some_change
		kc m --json replicate-now >now.json 2>/dev/null || true
		G=$((G + 1))
		equal "$(jq .generation now.json)" "$G" "generation"
	done
}

later=$(date -d '+3 hours' +%H:%M)
hour()
{
	sed -i '/^restore.DailyStart/d' "$1/keyclone.properties"
	[ -z "$2" ] || configure "$1" "restore.DailyStartReplicationRestoreTime=$2"
}

replicas 2 5000
start_daemon c1
allow_log 'refused|declined'
start_daemon m
kc m clone hold "$(address_of c2)" >/dev/null
wait_for 20 "c1 has the full" own_is c1 applied 1
G=1
some_change
kc m replicate-now --clone "$(address_of c1)" >/dev/null
G=2
equal "$(kind_of 2)" incr

say "a clone that is down during five changes gets exactly these, in one session"
stop_daemon c1
make 5
lag_grows()
{
	[ "$({ kc m --json status || true; } | jq --arg a "$(address_of c1)" '.clones[] | select("\(.host):\(.port)" == $a) | .lag_seconds')" -gt 0 ]
}
wait_for 20 "its lag to grow" lag_grows
sessions=$(grep -c "$(address_of c1): session ended" m.log)
start_daemon c1
wait_for 30 "c1 is current" is_current c1
equal "$(grep -c "$(address_of c1): session ended" m.log)" "$sessions" "sessions that ended meanwhile"
same c1
equal "$(generations c1 restore.end 3)" "3 4 5 6 7" "restores"
equal "$(generations c1 receive.end 3)" "3 4 5 6 7" "what was received"
for ((i = 3; i <= 7; i++)); do
	equal "$(kind_of $i c1)" incr "kind of generation $i on the clone"
done
equal "$(generations m push.end 3)" "3 4 5 6 7" "what was pushed"

say "a new clone gets the full of the chain, then what builds on it"
start_daemon c2
kc m clone resume "$(address_of c2)" >/dev/null
wait_for 30 "c2 is current" is_current c2
CLONES=(c1 c2)
same c1 c2
equal "$(generations c2 restore.end 1)" "1 2 3 4 5 6 7" "restores"
equal "$(kind_of 7 c2)" incr
some_change
travels incr

say "three behind, and replicate-now: it waits until the newest is applied"
stop_daemon c2
make 3
start_daemon c2
some_change
travels incr
equal "$(generations c2 restore.end 9)" "9 10 11 12" "restores"

say "… also while the task is stopped"
stop_daemon c2
make 2
kc m stop >/dev/null
start_daemon c2
some_change
travels incr
kc m start >/dev/null
equal "$(generations c2 restore.end 13)" "13 14 15" "restores"

say "a clone with an hour stores them, and applies them all in their order"
stop_daemon c1
hour c1 "$later"
start_daemon c1
applied=$G
same() { local n; for n in "$@"; do [ "$n" = c1 ] || equal "$(contents "$n")" "$(contents m)" "the tables of $n"; done; }
for i in 1 2 3; do
	some_change
	travels incr
done
own_is c1 applied "$applied" && own_is c1 stored "$G" || fail "it has not stored what waits"
cat >watch.py <<'PY'
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
seen = set()
while True:
    last = os.path.exists(sys.argv[2])
    rows = db.execute("SELECT DISTINCT state, alias FROM keys WHERE id <= 20").fetchall()
    n = db.execute("SELECT count(*) FROM attributes WHERE name = 'x'").fetchone()[0]
    if len(rows) != 1 or rows[0][1] != "serial %d" % rows[0][0]:
        sys.exit("a state that the master never had: %s" % rows)
    seen.add(rows[0][0])
    if last:
        break
open("seen", "w").write(" ".join(map(str, sorted(seen))))
PY
python3 watch.py c1/keys.sqlite ended >watch.out 2>&1 & watcher=$!
HELPERS+=("$watcher")
expect 0 kc c1 restore-now >out
grep -q "Generation $G is restored" out || fail "restore-now says: $(cat out)"
touch ended
wait $watcher || fail "the reader says: $(cat watch.out)"
equal "$(contents c1)" "$(contents m)" "the tables of c1"
equal "$(generations c1 restore.end $((applied + 1)))" "$((applied + 1)) $((applied + 2)) $G" "restores"
wait_for 20 "the master knows" is_current c1

say "… the same over a restart of the clone in between"
applied=$G
some_change
travels incr
some_change
travels incr
stop_daemon c1
start_daemon c1
wait_for 20 "c1 is postponed" field_is c1 state '^postponed$'
some_change
travels incr
own_is c1 applied "$applied" && own_is c1 stored "$G" || fail "it has not stored what waits"
expect 0 kc c1 restore-now >/dev/null
equal "$(contents c1)" "$(contents m)" "the tables of c1"
equal "$(generations c1 restore.end $((applied + 1)))" "$((applied + 1)) $((applied + 2)) $G" "restores"
wait_for 20 "the master knows" is_current c1

say "… and over a new chain, of which it has only stored the full"
some_change
travels full --full
some_change
travels incr
stop_daemon c1
start_daemon c1
wait_for 20 "c1 is postponed" field_is c1 state '^postponed$'
some_change
travels incr
own_is c1 stored "$G" || fail "it has not stored what waits"
expect 0 kc c1 restore-now >/dev/null
equal "$(contents c1)" "$(contents m)" "the tables of c1"
wait_for 20 "the master knows" is_current c1

say "… and replicate-now --restore-now"
for i in 1 2; do
	some_change
	travels incr
done
some_change
expect 0 kc m replicate-now --restore-now >/dev/null
G=$((G + 1))
is_current c1 || fail "c1 is $(field c1 state)"
equal "$(contents c1)" "$(contents m)" "the tables of c1"

say "a stored increment that somebody removed before its hour: what it lacks comes again, by itself and at once"
for i in 1 2 3; do
	some_change
	travels incr
done
rm "$(backup_of $((G - 1)) c1)"
allow_log "generation $((G - 1)) is not restored: .*No such file"
allow_log 'refused|declined'
stop_daemon c1
# As if its hour had been while it was down.
sqlite3 c1/state/state.db 'UPDATE stored SET at = at - 172800, due = due - 172800'
start_daemon c1
wait_for 30 "c1 is current by itself" is_current c1
equal "$(contents c1)" "$(contents m)" "the tables of c1"
hour c1 ''
expect 0 kc c1 reload >/dev/null
unset -f same
. "$TOP_SRCDIR/tests/system/fleet.sh"

say "killed in the middle of it"
allow_log 'the worker was ended by signal 9'
allow_log 'session .* ended|the clone ended the session|the master ended the session'
allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed): '
allow_log 'was not received: '
allow_log 'cannot connect|connection refused|connection reset|connection closed'
for ((round = 1; round <= ${KC_ROUNDS:-10}; round++)); do
	stop_daemon c1
	for i in 1 2 3; do
		some_change
		kc m replicate-now --clone "$(address_of c2)" >/dev/null
	done
	start_daemon c1
	worker=$(worker_of c1 || true)
	# The moment is what is drawn, not a condition.
	sleep "$(printf '0.%03d' $((RANDOM % 400)))"
	kill -KILL "${DAEMON_PID[c1]}" $worker 2>/dev/null || true
	wait "${DAEMON_PID[c1]}" 2>/dev/null || true
	start_daemon c1
	wait_for 60 "c1 is current (round $round)" is_current c1
	same c1
done
integrity c1
expect 0 kc c1 audit --verify >/dev/null
finish
