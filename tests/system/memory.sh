#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# memory: the most that daemon and worker ever need, on both sides, while a full is made, sent and restored: under 64 MB
# each, however large the database is. KC_SLOW_TESTS=1: with 1,000,000 keys (200 MB), else with 200,000. scrypt takes
# 128·8·2^n bytes apart, while it runs: 32 MB with the n = 15 of this test, which are taken off for the master's worker.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/fleet.sh"
begin memory sqlite3 python3 jq pgrep

KEYS=200000 LIMIT_KB=65536 SCRYPT_KB=32768
[ "${KC_SLOW_TESTS:-0}" = 0 ] || KEYS=1000000
export KC_TIMEOUT=280

peak_kb()
{
	sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB$/\1/p' "/proc/$1/status"
}

# below NAME PID LIMIT
below()
{
	local peak

	peak=$(peak_kb "$2")
	say "  $1: $peak kB at most"
	case $(ldd "$TOP_BUILDDIR/keycloned") in
	*libasan*) return ;; # the sanitizer's own memory is not ours
	esac
	[ "$peak" -lt "$3" ] || fail "$1 needed $peak kB, over $3"
}

replicas 1 "$KEYS"
say "$KEYS keys, $(($(stat -c %s m/keys.sqlite) / 1000000)) MB"
start_daemon c1
start_daemon m
expect 0 kc m replicate-now >/dev/null
say "a second full, onto keys that are there"
change 1 5000
expect 0 kc m replicate-now >/dev/null
same c1
say "and one for a clone that has fallen behind"
expect 0 kc m replicate-now --full >/dev/null
below "the master's daemon" "${DAEMON_PID[m]}" "$LIMIT_KB"
below "the master's worker" "$(worker_of m)" $((LIMIT_KB + SCRYPT_KB))
below "the clone's daemon" "${DAEMON_PID[c1]}" "$LIMIT_KB"
below "the clone's worker" "$(worker_of c1)" "$LIMIT_KB"
say "the rows of another hand among so many are found in as little"
sqlite3 c1/keys.sqlite "INSERT INTO keys VALUES(9999999, 'of another hand', 'mine', 1, 0, x'00')"
change 2 5000
allow_log 'diverged|is not restored, nothing was written|what is discarded was saved|failed: it restores right now'
expect 1 kc m replicate-now >/dev/null 2>&1
expect 0 kc c1 diverged discard >/dev/null
catches_up c1
below "the clone's worker, with the safety backup's scrypt" "$(worker_of c1)" $((LIMIT_KB + 131072))
finish
