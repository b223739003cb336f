# SPDX-License-Identifier: Apache-2.0
# The lines of `status` with the original product's codes, in every state that its manual shows, on both roles; and the
# answers of start and stop.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin status jq
allow_log 'task is down'
allow_log 'unreachable: connection refused'

# lines DIR EXIT PATTERN…: the first lines of status, one pattern each, and the same in JSON
lines()
{
	local dir=$1 wanted=$2 i=0 pattern status=0

	shift 2
	kc "$dir" status >out || status=$?
	equal "$status" "$wanted" "exit status of status on $dir"
	kc "$dir" --json status >answer || true
	jq -r '.messages[] | .status' answer >json
	for pattern; do
		i=$((i + 1))
		sed -n "${i}p" out | grep -q -E "^$pattern\$" || fail "line $i of $dir is: $(sed -n "${i}p" out)"
		equal "$(sed -n "${i}p" json)" "$(sed -n "${i}p" out)" "line $i in JSON"
	done
	jq -e 'all(.messages[]; .code as $c | .status | startswith($c + " "))' answer >/dev/null ||
		fail "a line does not begin with its code"
}

DATE='(Sun|Mon|Tue|Wed|Thu|Fri|Sat) [A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} CES?T 20[0-9]{2}'
UP='CTGKM2215I The keyclone replication task is UP\. Role set to:'
DOWN='CTGKM2216I The keyclone replication task is DOWN\. Role set to:'
LAST="CTGKM2218I The last completed replication took place at $DATE"
NEXT="CTGKM2217I The next scheduled replication is due at $DATE"
NEVER='CTGKM2220I No previous successful replications\.'
NONE='CTGKM2221I No replication currently scheduled\.'

export TZ=Europe/Berlin
make_master m >/dev/null
make_clone c1 >/dev/null
kc m config set replication.RetryMin=1s replication.RetryMax=1s >/dev/null

say "before the first replication"
start_daemon c1
lines c1 0 "$UP CLONE" "$NEVER" "$NONE"
stop_daemon c1
kc m key generate >/dev/null
start_daemon m
wait_for 20 "the clone to be missed" sh -c "keyclone -c m/keyclone.properties status | grep -q unreachable"
lines m 2 "$UP MASTER" "$NEVER" "$NEXT"

say "after it"
start_daemon c1
kc m replicate-now >/dev/null
lines m 0 "$UP MASTER" "$LAST" "$NEXT"
lines c1 0 "$UP CLONE" "$LAST" "$NONE"

say "start and stop"
equal "$(kc m start)" "CTGKM2207W The keyclone replication task is already UP."
equal "$(kc m stop)" "CTGKM2208I The keyclone replication task was stopped."
equal "$(kc m stop)" "CTGKM2210W The keyclone replication task is already DOWN."
lines m 2 "$DOWN MASTER" "$LAST" "$NONE"
stop_daemon m
start_daemon m
lines m 2 "$DOWN MASTER" "$LAST" "$NONE"
equal "$(kc m --json start | jq -r .code)" CTGKM2209I
lines m 0 "$UP MASTER" "$LAST" "$NEXT"
kc c1 stop >/dev/null
lines c1 2 "$DOWN CLONE" "$LAST" "$NONE"
kc c1 start >/dev/null

say "watched"
timeout 4 keyclone -c m/keyclone.properties status --watch >out || true
[ "$(grep -c -E "^$UP MASTER$" out)" -ge 2 ] || fail "it was shown once"
grep -q "$(printf '\033')" out && fail "it paints where there is no terminal"

say "a master without clones makes backups, and that completes a replication"
kc m clone remove "$(kc m clone list)" >/dev/null
kc m key generate >/dev/null
kc m replicate-now >/dev/null
lines m 0 "$UP MASTER" "$LAST" "$NEXT"

say "in another language the dates are the same"
name=$(locale -a | grep -m 1 -v -e '^C' -e '^POSIX' -e '^en' || true)
stop_daemon m
LC_ALL=${name:-C} start_daemon m
lines m 0 "$UP MASTER" "$LAST" "$NEXT"

finish
