# SPDX-License-Identifier: Apache-2.0
# A clone whose clock is a year off works as long as both clocks are inside the certificates' validity, and both sides
# say so; outside of it the refusal shows both times. The daily hour is of the zone that the daemon runs in.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin clocks jq sqlite3
FAKETIME_LIB=
for lib in /usr/lib/*/faketime/libfaketime.so.1; do
	[ -e "$lib" ] && FAKETIME_LIB=$lib
done
[ -n "$FAKETIME_LIB" ] || skip "libfaketime is not installed"
# Sanitizers want to be loaded first.
is_sanitized && skip "libfaketime does not go with a sanitizer"

make_master m >/dev/null
make_clone c1 >/dev/null
printf '%s\n' replication.RetryMin=1s replication.RetryMax=1s >>m/keyclone.properties
kc m key generate --count 3 >/dev/null

# away DIR OFFSET: the daemon of DIR with another wall clock; start_daemon sees the variables through the function
away()
{
	keycloned()
	{
		env LD_PRELOAD="$FAKETIME_LIB" FAKETIME="$AWAY" FAKETIME_DONT_FAKE_MONOTONIC=1 \
			"$TOP_BUILDDIR/keycloned" "$@" &
		# The process of the function is not the daemon's.
		echo $! >"$T/away.pid"
		wait $!
	}
	AWAY=$2
	start_daemon "$1"
	unset -f keycloned
	kill -0 "$(cat away.pid)"
}

home()
{
	local pid

	pid=$(cat away.pid)
	end_process "$pid"
	wait "${DAEMON_PID[$1]}" 2>/dev/null || true
	unset "DAEMON_PID[$1]"
}

field()
{
	kc "$1" --json status >answer || true
	jq -r "$2" answer
}

say "a year ahead: it works, and both say so"
allow_log 'warning: the clock of 127\.0\.0\.1:[0-9]* is 3[0-9][0-9] days ahead of this one'
allow_log 'warning: the clock of the master is 3[0-9][0-9] days behind this one'
away c1 +365d
start_daemon m
kc m replicate-now >/dev/null
same_keys m c1
kc m replicate-now --full >/dev/null
kc m status >out
grep -q '^KC0219W The clock of 127\.0\.0\.1:[0-9]* is 365 days ahead of this one\.$\|^KC0219W .* is 364 days ahead' out ||
	fail "the master's status says: $(cat out)"
kc c1 status >out || true
grep -q '^KC0219W The clock of .* is 36[45] days behind this one\.$' out || fail "the clone's status says: $(cat out)"
[ "$(field m '.clones[0].clock_offset_seconds')" -gt 31000000 ] || fail "the master's figure"
[ "$(field c1 '.self.master.clock_offset_seconds')" -lt -31000000 ] || fail "the clone's figure"
equal "$(grep -c 'warning: the clock of' m.log)" 1 "warnings about one clock"
stop_daemon m
home c1

say "before the certificates began: refused, with both times"
allow_log 'warning: clone .*: refused: .*expired or not valid yet'
allow_log 'warning: refused .*: certificate .* is not valid yet'
allow_log 'warning: alias ssl_cert: its certificate is not valid yet .*; wait for it, or set the clock'
rm -f m.log c1.log
away c1 -365d
start_daemon m
wait_for 30 "the refusal" sh -c \
	"grep -q 'is not valid yet, for another 36[0-9] days (its begin 20[0-9-]*T[0-9:]*Z, this machine.s clock 20[0-9-]*T[0-9:]*Z)' c1.log"
wait_for 30 "the master to know" sh -c "keyclone -c m/keyclone.properties status | grep -q 'expired or not valid yet'"
stop_daemon m
home c1

say "the first line says the hour and its zone"
allow_log 'warning: clone .*: unreachable: connection refused'
kc m config set backup.DailyStartReplicationBackupTime=23:00 >/dev/null
rm -f m.log
TZ=Europe/Berlin start_daemon m
grep -q 'checks daily at 23:00 CES\?T' m.log || fail "the first line: $(head -n 1 m.log)"
kc m status >out || true
grep -E -q '^CTGKM2217I The next scheduled replication is due at [A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} 23:00:00 CES?T 20[0-9]{2}$' out ||
	fail "status says: $(cat out)"
stop_daemon m

say "a daily hour that passed while the machine was off is made up at the start, one that did not is waited for"
generation()
{
	field m .generation
}
export TZ=Europe/Berlin
rm -f m.log
missed()
{
	equal "$(grep -c 'the daily check of 23:00 was missed; it is made up now' m.log)" "$1" "hours made up"
}
# The last start was today, or by now yesterday: a 23:00 lies between.
away m "@$(date -d 'tomorrow 22:00' '+%Y-%m-%d %H:%M:%S')"
missed 1
wait_for 20 "its end" sh -c "keyclone -c m/keyclone.properties --json status | jq -e '.run == null and .unreplicated_since == null'"
before=$(field m .generation)
kc m key generate >/dev/null
wait_for 20 "what is unreplicated" sh -c "keyclone -c m/keyclone.properties --json status | jq -e '.unreplicated_since != null'"
equal "$(field m .generation)" "$before" "generation before the hour"
home m
away m "@$(date -d '2 days 08:00' '+%Y-%m-%d %H:%M:%S')"
wait_for 20 "the run that was missed" sh -c "keyclone -c m/keyclone.properties --json status | jq -e '.generation == $before + 1'"
missed 2
home m
away m "@$(date -d '2 days 09:00' '+%Y-%m-%d %H:%M:%S')"
missed 2
home m

finish
