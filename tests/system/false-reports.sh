#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# false-reports: peers with a valid certificate that report what they have no receipt for, and reports that come twice.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin false-reports sqlite3 jq python3 openssl
. "$TOP_SRCDIR/tests/system/fleet.sh"
allow_log 'a report of 127.0.0.1:[0-9]+ on generation [12] is not believed: '
export PYTHONDONTWRITEBYTECODE=1

replicas 2 300
for name in c1 c2; do
	configure "$name" "restore.DailyStartReplicationRestoreTime=$(date -d '+3 hours' +%H:%M)"
	start_daemon "$name"
done
start_daemon m
openssl pkcs12 -in site.p12 -passin file:p12pw -nodes -out site.pem 2>/dev/null
for name in c1 c2; do
	wait_for 20 "$name is postponed" field_is "$name" state '^postponed$'
done

query() { sqlite3 -readonly "$1/state/state.db" "$2"; }
lineage=$(query m 'SELECT lineage FROM self')
recipient() { query m "SELECT recipient FROM clone WHERE port = $(address_of "$1" | sed 's/.*://')"; }
receipt() { query "$1" 'SELECT receipt FROM report'; }
# report RECIPIENT RECEIPT GENERATION PATTERN
report()
{
	local answer

	answer=$(timeout 20 python3 "$TOP_SRCDIR/tests/system/reporter.py" site.pem "$MASTER_PORT" "$1" "$2" "$lineage" "$3")
	[[ $answer =~ $4 ]] || fail "the answer to a report: $answer"
}
received() { jq -s '[.[] | select(.event == "report.receive")] | length' m/log/replication_audit.log; }

say "a receipt that was never given, another clone's, another generation's"
report "$(recipient c1)" 00112233445566778899aabbccddeeff 1 '^ack .*refused.*not one that this master gave'
report "$(recipient c2)" "$(receipt c1)" 1 '^ack .*refused.*given to another clone'
report "$(recipient c1)" "$(receipt c1)" 2 '^ack .*refused.*not one that this master gave'
report "$(recipient c1)" "$(receipt c1 | tr a-f A-F)" 1 '^(error|closed)'
field_is c1 state '^postponed$' && field_is c2 state '^postponed$' || fail "a false report was believed"
equal "$(received)" 0 "reports taken"
audited m peer.refused failure '^KC0218W ' || fail "no record of false reports"

allow_log 'clone 127.0.0.1:[0-9]+: failed: |alert: clone 127.0.0.1:[0-9]+ '
say "failures without end: so many are taken, then the session ends, and the audit log does not grow"
for i in $(seq 34); do
	last=$(timeout 20 python3 "$TOP_SRCDIR/tests/system/reporter.py" site.pem "$MASTER_PORT" "$(recipient c2)" \
		"$(receipt c2)" "$lineage" 1 failed)
done
[[ $last =~ ^(error|closed) ]] || fail "the answer to report $i of one clone: $last"
equal "$(received)" 30 "reports of failures taken"

say "the right one, twice: the second changes nothing"
right=$(receipt c1)
report "$(recipient c1)" "$right" 1 '^ack \{"receipt": "[0-9a-f]{32}", "audit_seq"'
wait_for 10 "the report is believed" is_current c1
report "$(recipient c1)" "$right" 1 '^ack \{"receipt": "[0-9a-f]{32}", "audit_seq"'
report "$(recipient c1)" "$right" 1 '^ack \{"receipt": "[0-9a-f]{32}", "audit_seq"'
equal "$(received)" 31 "reports taken"

say "a clone that was removed and added again has no receipts"
other=$(receipt c2)
whose=$(recipient c2)
address=$(address_of c2)
kc m clone remove "$address" >/dev/null
report "$whose" "$other" 1 '^ack .*refused'
equal "$(query m "SELECT count(*) FROM receipt WHERE receipt = '$other'")" 0 "receipts of a removed clone"

say "a report that the master does not take is not told for ever"
expect 0 kc c2 restore-now >/dev/null
allow_log 'does not take the report \(restored\)'
wait_for 20 "c2 is told" audited c2 report.send failure '^KC0218W '
equal "$(query c2 'SELECT count(*) FROM report')" 0 "reports left on c2"
expect 0 kc m audit --verify >/dev/null
finish
