#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fleet20: one master, twenty clones, ten thousand keys, twice; readers of the clones' databases see the old keys or
# the new ones, and never an error.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin fleet20 sqlite3 python3

CLONES=20 KEYS=10000
is_sanitized && CLONES=8

databases=()
for ((i = 1; i <= CLONES; i++)); do
	databases+=("$T/c$i/keydb.sqlite")
done

# round OLD NEW: generate up to NEW keys and replicate them past the readers
round()
{
	local reader start

	rm -f stop
	python3 "$TOP_SRCDIR/tests/system/reader.py" "$T/stop" "$T/reader.out" "$1,$2" "${databases[@]}" &
	reader=$!
	HELPERS+=("$reader")
	kc m key generate --count $(($2 - $1)) --group LTO --alias tape
	start=${EPOCHREALTIME/[.,]/}
	expect 0 kc m replicate-now
	say "$2 keys on $CLONES clones after $(((${EPOCHREALTIME/[.,]/} - start) / 1000)) ms"
	touch stop
	wait "$reader" || fail "a reader: $(cat reader.out)"
	say "readers: $(cat reader.out)"
	for ((i = 1; i <= CLONES; i++)); do
		same_keys m "c$i"
	done
}

make_fleet "$CLONES"
round 0 "$KEYS"
round "$KEYS" $((2 * KEYS))

say "status"
kc m --json status >status
python3 - "$CLONES" <<'PY'
import json, sys
s = json.load(open("status", encoding="utf-8"))
states = [c["state"] for c in s["clones"]]
assert states == ["current"] * int(sys.argv[1]), states
assert all(c["applied"] == c["stored"] == s["generation"] for c in s["clones"]), s
assert s["database"]["rows"] == 20000, s["database"]
PY
equal "$(grep -o '"state": *"current"' status | wc -l)" "$CLONES" "clones that are current"

say "material opens on a clone with the master key file that travelled"
uuid=$(sqlite3 -readonly m/keydb.sqlite 'SELECT uuid FROM keys LIMIT 1')
equal "$(kc c$CLONES key export "$uuid")" "$(kc m key export "$uuid")" "exported material"
grep -q "\"event\":\"key.serve\",\"outcome\":\"success\".*$uuid" c$CLONES/log/replication_audit.log ||
	fail "what a clone served is not in its audit log"
grep -q "\"event\":\"key.export\"" m/log/replication_audit.log || fail "the master has no record of its export"
equal "$(kc c7 key list | tail -n 1)" "20000 keys"

finish
