#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# crash: kill -9 of a daemon or of its worker at 50 random moments of a replication. Nothing is lost, nothing is left
# behind, and everything converges. KC_SEED repeats a run, as far as scheduling lets it; KC_ROUNDS makes it longer.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/fleet.sh"
begin crash sqlite3 python3 jq pgrep

is_sanitized && USUAL=20 || USUAL=50
ROUNDS=${KC_ROUNDS:-$USUAL} SEED=${KC_SEED:-$RANDOM} KEYS=20000
RANDOM=$SEED
say "seed $SEED"

allow_log 'the worker was ended by signal 9'
allow_log 'is not restored: the worker was ended by signal 9'
allow_log 'backup failed: '
allow_log 'the newest backup cannot be used, a new one is made'
allow_log 'session .* ended|the clone ended the session|the master ended the session'
allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed): '
allow_log 'was not received: '
allow_log 'old partial|left-over'
allow_log 'cannot connect|connection refused|connection reset|connection closed'

# Ends a process of ours without a warning, and starts the daemon again where it was one.
strike()
{
	local victim=$1 name=${1%-worker} pid

	if [ "$victim" = "$name" ]; then
		pid=${DAEMON_PID[$name]}
		kill -KILL "$pid" || fail "the daemon of $name had ended by itself"
		wait "$pid" 2>/dev/null || true
		start_daemon "$name"
	elif pid=$(worker_of "$name"); then
		kill -KILL $pid 2>/dev/null || true
	fi
}

converge()
{
	local deadline=$((SECONDS + 60))

	until kc m replicate-now >converge.out 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || fail "no convergence: $(cat converge.out)"
		sleep 0.1
	done
	same c1 c2
}

# What was begun has its end, for each generation and peer.
attempts_are_closed()
{
	python3 - "$@" <<'PY'
import json, sys
for name in sys.argv[1:]:
    began = {}
    for text in open(name, encoding="utf-8"):
        r = json.loads(text)
        event = r["event"].rsplit(".", 1)
        if event[0] not in ("replication", "push", "receive", "restore"):
            if r["event"] != "backup.create":
                continue
            event = ["backup.create", "start" if r["outcome"] == "started" else "end"]
        key = (event[0], r.get("generation"), r.get("peer") if event[0] == "push" else None)
        if event[1] == "start":
            began[key] = began.get(key, 0) + 1
        elif event[1] == "end" and began.get(key, 0) > 0:
            began[key] -= 1
    open_ones = {k: n for k, n in began.items() if n > 0}
    if open_ones:
        sys.exit("%s: began and did not end: %s" % (name, open_ones))
PY
}

replicas 2 "$KEYS"
for name in m c1 c2; do
	start_daemon "$name"
done
converge

victims=(m c1 c2 m-worker c1-worker c2-worker)
for ((round = 1; round <= ROUNDS; round++)); do
	victim=${victims[RANDOM % ${#victims[@]}]}
	moment=$((RANDOM % 300))
	change "$((SEED + round))"
	kc m replicate-now --no-wait >/dev/null || fail "round $round: no run was begun"
	# The moment is what is drawn, not a condition.
	sleep "$(printf '0.%03d' "$moment")"
	strike "$victim"
	printf 'round %d: %s after %d ms\n' "$round" "$victim" "$moment" >>rounds
	if [ $((round % 10)) = 0 ]; then
		converge
	fi
done
cut -d' ' -f3 rounds | sort | uniq -c

say "what is there afterwards"
for name in m c1 c2; do
	expect 0 kc "$name" audit --verify >/dev/null
	integrity "$name"
	stop_daemon "$name"
	attempts_are_closed "$name/log/replication_audit.log"
	litter=$(find "$name" \( -name '*.part' -o -name '*.new' -o -path '*/staging/*' -o -name '*-journal' \) -print)
	equal "$litter" "" "left behind in $name"
done
finish
