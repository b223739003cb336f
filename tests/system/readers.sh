#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# readers: a key manager that reads all the time while hundreds of increments come, from a database with a write-ahead log
# and from one with a rollback journal: no statement fails, and it sees the master's states alone, in their order.
# KC_RESTORES makes it longer.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "$TOP_SRCDIR/tests/system/fleet.sh"
begin readers sqlite3 python3 jq

RESTORES=${KC_RESTORES:-200}
allow_log 'unreachable: connection refused'

serials()
{
	python3 "$TOP_SRCDIR/tests/system/serial.py" m/keyclone.properties m/keys.sqlite "$1" "$2"
}

restores()
{
	jq -s '[.[] | select(.event == "restore.end" and .outcome == "success")] | length' c1/log/replication_audit.log
}

# Half of the increments with one kind of journal, half with the other.
replicas 1 $((RESTORES * 30)) # more, and they would be half as large as their full, and another one would follow
first=1
for mode in wal delete; do
	say "$((RESTORES / 2)) increments, journal_mode $mode"
	for name in m c1; do
		sqlite3 $name/keys.sqlite "PRAGMA journal_mode = $mode" >/dev/null
	done
	start_daemon c1
	start_daemon m
	last=$((first + RESTORES / 2))
	serials $first $first
	kc m replicate-now --full >/dev/null
	same c1
	equal "$(sqlite3 c1/keys.sqlite 'PRAGMA journal_mode')" $mode
	before=$(restores)
	rm -f ended
	# With a write-ahead log nobody waits.
	python3 "$TOP_SRCDIR/tests/system/serial_reader.py" ended out "$([ $mode = wal ] && echo 0 || echo 10)" c1/keys.sqlite \
		</dev/null 8>&- & reader=$!
	HELPERS+=("$reader")
	serials $((first + 1)) $last
	same c1
	printf '%d' $last >ended.new
	mv ended.new ended
	wait $reader || fail "journal_mode $mode: $(cat out)"
	say "$(cat out)"
	equal "$(($(restores) - before))" $((RESTORES / 2)) "restores"
	equal "$(sqlite3 c1/keys.sqlite 'PRAGMA journal_mode')" $mode
	integrity c1
	first=$((last + 1))
	stop_daemon m
	stop_daemon c1
done
[ "$(find m/backups -name '*-incr-*' | wc -l)" -ge "$RESTORES" ] || fail "not every backup was an increment"
finish
