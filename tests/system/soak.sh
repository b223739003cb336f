#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# soak: a master and its clones on lines that are cut, delayed, throttled to 1 Mbit/s, silent and lossy at random, while
# keys are made all the time. At the end every clone has the master's keys, no key is lost, memory is flat, and both
# sides' audit logs account for every attempt.
#
#     soak.sh [SECONDS [CLONES [SEED]]]        in the suite 20 seconds, 4 clones; by hand: soak.sh 1800 8
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin soak sqlite3 python3

LENGTH=${1:-${SOAK_SECONDS:-20}} CLONES=${2:-${SOAK_CLONES:-4}} SEED=${3:-${SOAK_SEED:-$RANDOM}}
say "$LENGTH seconds, $CLONES clones, seed $SEED"
RANDOM=$SEED
allow_log ': (warning|error): ' # of what the weather does to sessions, there is no end

# Between master and clones, and between clones and the master's port, there is a bad line each.
make_master m
free_port
back=$PORT
lines=("$back:$MASTER_PORT")
for ((i = 1; i <= CLONES; i++)); do
	free_port
	own=$PORT
	free_port
	lines+=("$PORT:$own")
	keyclone init clone --dir "c$i" --port "$own" --master "127.0.0.1:$back" --site-certificate site.p12 \
		--p12-password-file p12pw
	kc m clone add "127.0.0.1:$PORT"
	printf '%s\n' replication.RetryMin=1s replication.RetryMax=3s replication.Timeout=5s >>"c$i/keyclone.properties"
done
sed -i -e '/^backup.CheckFrequency/d' -e '/^backup.KeyDerivationWork/d' m/keyclone.properties
printf '%s\n' backup.CheckFrequency=2s backup.KeyDerivationWork=15 replication.RetryMin=1s replication.RetryMax=3s \
	replication.Timeout=5s >>m/keyclone.properties

python3 "$TOP_SRCDIR/tests/system/bad_lines.py" "$SEED" "$T/stop" "$T/weather" "${lines[@]}" </dev/null >lines.out 2>&1 8>&- &
HELPERS+=("$!")
wait_for 20 "the lines" test -s weather
for ((i = 1; i <= CLONES; i++)); do
	start_daemon "c$i"
done
start_daemon m

# RSS in kB of a daemon and its worker, together.
memory()
{
	local pid=${DAEMON_PID[$1]} child sum=0

	for child in $pid $(pgrep -P "$pid" || true); do
		sum=$((sum + $(awk '/^RssAnon:/ {print $2}' "/proc/$child/status" 2>/dev/null || echo 0)))
	done
	echo "$sum"
}

say "keys, and the weather"
: >keys.made
declare -A early=()
made=0 rounds=0 began=$SECONDS
while [ $((SECONDS - began)) -lt "$LENGTH" ]; do
	n=$((RANDOM % 40 + 1))
	kc m key generate --count "$n" --group soak >/dev/null
	made=$((made + n)) rounds=$((rounds + 1))
	[ $((RANDOM % 4)) != 0 ] || kc m replicate-now --no-wait >/dev/null 2>&1 || true
	if [ ${#early[@]} = 0 ] && [ $((SECONDS - began)) -ge $((LENGTH / 3)) ]; then
		for name in "${!DAEMON_PID[@]}"; do
			early[$name]=$(memory "$name")
		done
	fi
	sleep "0.$((RANDOM % 9 + 1))"
done
touch stop
say "$made keys in $rounds rounds; $(grep -c -v ' up$' weather) changes of weather: $(awk '{print $3}' weather | sort | uniq -c | sort -rn | awk '{printf "%s %s, ", $2, $1}')"

everybody_current()
{
	kc m replicate-now >now.out 2>&1
}
wait_for $((60 + LENGTH / 4)) "all clones to be current: $(tail -n 3 now.out 2>/dev/null || true)" everybody_current

say "keys"
equal "$(sqlite3 -readonly m/keydb.sqlite "SELECT count(*) FROM keys WHERE grp = 'soak'")" "$made" "keys on the master"
for ((i = 1; i <= CLONES; i++)); do
	same_keys m "c$i"
done

# A sanitizer keeps what was freed. Apart from that: scrypt's 32 MiB may be there or not.
if ! is_sanitized; then
	say "memory"
	for name in "${!early[@]}"; do
		now=$(memory "$name")
		say "  $name: ${early[$name]} kB after a third, $now kB at the end"
		[ "$now" -le $((early[$name] + early[$name] / 4 + 16384 + 32768)) ] ||
			fail "the memory of $name grows: ${early[$name]} kB, then $now kB"
	done
fi

say "audit logs"
stop_daemon m
for ((i = 1; i <= CLONES; i++)); do
	stop_daemon "c$i"
done
for name in m $(seq -f 'c%g' "$CLONES"); do
	expect 0 kc "$name" audit --verify >verify.out
done
logs=()
for ((i = 1; i <= CLONES; i++)); do
	logs+=("c$i/log")
done
python3 "$TOP_SRCDIR/tests/system/account.py" m/log "${logs[@]}" || fail "attempts without an end"
finish
