# SPDX-License-Identifier: Apache-2.0
# `audit` as a table that is read at 80 columns; the end of a run says what came of each clone; the filters work with it.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin audit-table jq
allow_log 'unreachable: connection refused|cannot be reached'

make_master m >/dev/null
make_clone c1 >/dev/null
make_clone c2 >/dev/null
kc m config set replication.RetryMin=1s replication.RetryMax=1s >/dev/null
start_daemon c1
start_daemon c2
start_daemon m
kc m key generate --count 100 >/dev/null
kc m replicate-now >/dev/null
C1=127.0.0.1:$(sed -n 's/^restore.ListenPort=//p' c1/keyclone.properties)
C2=127.0.0.1:$(sed -n 's/^restore.ListenPort=//p' c2/keyclone.properties)

say "the end of a run"
last_run()
{
	jq -s -c 'map(select(.event == "replication.end")) | last' m/log/replication_audit.log
}
last_run | jq -e '.outcome == "success" and (.clones | length == 2) and
	all(.clones[]; .result == "restored" and .bytes > 100 and .duration_ms > 0)' >/dev/null || fail "it says: $(last_run)"
stop_daemon c2
kc m key generate >/dev/null
expect 1 kc m replicate-now >/dev/null 2>&1
last_run | jq -e --arg c "$C2" '.outcome == "failure" and
	any(.clones[]; .clone == $c and .result == "unreachable" and (.detail | test("refused"))) and
	any(.clones[]; .clone != $c and .result == "restored")' >/dev/null || fail "it says: $(last_run)"

say "the table"
kc m audit >table
awk 'length($0) > 80 && NF > 1' table >long
[ ! -s long ] || fail "longer than 80 columns: $(cat long)"
grep -q "$(printf '\033')" table && fail "it paints where there is no terminal"
grep -E -q '^TIME +EVENT +OUTCOME +GEN ' table || fail "no heading"
grep -A 3 '^[0-9:]* *replication.end *failure' table >run
grep -E -q "^ +$C1 +restored +[0-9.]+ KB, [0-9.]+ m?s$" run || fail "the run is: $(cat run)"
grep -E -q "^ +$C2 +unreachable +connection refused$" run || fail "the run is: $(cat run)"
if command -v script >/dev/null; then
	TERM=xterm script -qc "stty cols 70; keyclone -c m/keyclone.properties audit" /dev/null </dev/null >painted
	grep -q "$(printf '\033\\[31mfailure')" painted || fail "no colour on a terminal"
	tr -d '\r' <painted | sed "s/$(printf '\033')\[[0-9]*m//g" |
		awk 'length($0) > 70 && NF > 1' | grep . && fail "longer than the terminal is wide"
	TERM=xterm NO_COLOR=1 script -qc "keyclone -c m/keyclone.properties audit" /dev/null </dev/null >plain
	grep -q "$(printf '\033\\[31m')" plain && fail "colour where none is wanted"
fi

say "filters"
kc m audit --clone "$C2" --event replication.end >out
equal "$(grep -c 'replication.end' out)" "$(grep -c 'replication.end' table)" "runs that concern a clone"
kc m audit --failed >out
grep -q 'replication.end *failure' out && ! grep -q ' success ' out || fail "failed only: $(cat out)"
all_of_the_last_hour()
{
	[ "$(kc m audit --since 1h | wc -l)" = "$(kc m audit | wc -l)" ]
}
wait_for 10 "the lines of the last hour to be all lines" all_of_the_last_hour
equal "$(kc m --json audit --since 2199-01-01 | wc -l)" 0 "records of the future"
timeout 20 keyclone -c m/keyclone.properties audit --follow --event task >followed &
HELPERS+=($!)
wait_for 10 "the heading" grep -q TIME followed
kc m stop >/dev/null
kc m start >/dev/null
wait_for 10 "what is new" grep -q 'task.start' followed
equal "$(grep -c '^20' followed)" 1 "lines with the day"
allow_log 'task is down'

finish
