#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# While a backup is on its way to one clone, over a slow line, the fleet and the settings change: the push goes on. Only
# a hold of that very clone breaks it off, and then it goes on where it was; a stop lets it finish.

. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin under-way jq python3 openssl

allow_log 'unreachable'
allow_log 'an operator holds this clone'
allow_log 'the replication task is down'
allow_log "the master's replication task is down"
allow_log 'was not received'
allow_log 'set up anew'
allow_log 'alert: the end of the certificate of '
allow_log 'refused 127.0.0.1: (it sent no certificate|connection lost)'

clone_is()
{
	kc m --json status | jq -r ".clones[] | select(.port == $1) | .$2"
}

is_state()
{
	[ "$(clone_is "$1" state)" = "$2" ]
}

generation()
{
	kc m --json status | jq .generation
}

# The backup is whole, some of it is at the clone behind the slow line, and more is to be sent than sockets hold.
is_under_way()
{
	[ "$(generation)" -ge "$1" ] && is_state "$SLOW" pushing &&
		[ -n "$(find c1/backups -name '*.part' -size +64k)" ]
}

# pushes GENERATION OUTCOME: how many of them to the slow clone ended so.
pushes()
{
	kc m --json audit --event push.end | jq -s "flatten | map(select(.generation == $1 and .outcome == \"$2\" and .peer == \"127.0.0.1:$SLOW\")) | length"
}

has_applied()
{
	[ "$(clone_is "$SLOW" applied)" -ge "$1" ]
}

# begin_push: a full on its way; its generation in G.
begin_push()
{
	G=$(($(generation) + 1))
	touch slow
	kc m replicate-now --full --no-wait >/dev/null
	wait_for 30 "the push to be under way" is_under_way "$G"
}

# shows ALIAS: the master shows that certificate to whoever connects now.
shows()
{
	local sha

	sha=$(kc m --json cert show "$1" | jq -r .sha256)
	timeout 20 openssl s_client -connect "127.0.0.1:$MASTER_PORT" -alpn keyclone/1 </dev/null >shown 2>/dev/null || true
	[ "$(openssl x509 -in shown -noout -fingerprint -sha256 | tr -d : | tr A-F a-f | sed 's/.*=//')" = "$sha" ]
}

make_master m
free_port
OWN=$PORT
free_port
SLOW=$PORT
keyclone init clone --dir c1 --port "$OWN" --master "127.0.0.1:$MASTER_PORT" \
	--site-certificate site.p12 --p12-password-file p12pw
kc m clone add "127.0.0.1:$SLOW" >/dev/null
python3 "$TOP_SRCDIR/tests/system/cutter.py" "$SLOW" "$OWN" 0 0 </dev/null >cutter.out 2>&1 8>&- 9>&- &
HELPERS+=("$!")
make_clone c2 >/dev/null
FAST=$PORT
start_daemon c1
start_daemon c2
start_daemon m
kc m key generate --count 80000 >/dev/null
kc m replicate-now >/dev/null

say "clones come and go, settings change: the push goes on"
begin_push
make_clone c3 >/dev/null
start_daemon c3
kc m config set backup.CompressionLevel=3 replication.ListenAddress=127.0.0.1 >/dev/null
expect 1 kc m config set replication.RunDir=elsewhere 2>err.txt
grep -q 'stop it first' err.txt
kc m reload >reload.txt
grep -q 'changed: backup.CompressionLevel' reload.txt
grep -q 'replication.ListenAddress' reload.txt
grep 'needs a restart' reload.txt >/dev/null
kc m --json audit --event config.reload >out.txt
grep -q 'changed: .*backup.CompressionLevel; needs a restart: replication.ListenAddress' out.txt || fail "$(cat out.txt)"
kc m cert create --alias other --cn other >/dev/null
kc m cert export --alias other --format pem --output other.pem >/dev/null
kc m trust add other.pem >/dev/null
kc m reload >reload.txt
grep -q 'changed: trusted certificate .* added' reload.txt || fail "$(cat reload.txt)"
kc m reload >reload.txt
grep -v ListenAddress reload.txt | grep -q 'changed:' && fail "$(cat reload.txt)"
kc m config unset replication.ListenAddress >/dev/null
kc m clone hold "127.0.0.1:$FAST" >/dev/null
kc m clone resume "127.0.0.1:$FAST" >/dev/null
kc m clone remove "127.0.0.1:$FAST" >/dev/null
is_state "$SLOW" pushing || fail "the push did not outlast the changes: too fast a line for this test?"
rm slow
wait_for 30 "the slow clone" has_applied "$G"
equal "$(pushes "$G" success)" 1 "pushes that ended well"
equal "$(pushes "$G" failure)" 0 "pushes that were broken"

say "… and the removed clone is followed by a new full for the others"
wait_for 30 "the new full" eval '[ "$(generation)" -gt "$G" ]'
wait_for 30 "all clones" kc m status
same_keys m c1
same_keys m c3

say "the certificate changes, and a broken set is refused: the push goes on, and the next session has the new one"
kc m cert create --issued --role master --alias next --cn next --san 127.0.0.1 --days 20 >/dev/null
shows ssl_cert || fail "it does not show ssl_cert"
begin_push
kc m config set backup.TLSCertAlias=next >/dev/null
kc m reload >reload.txt
grep -q 'certificate next (SHA-256' reload.txt || fail "$(cat reload.txt)"
printf 'rubbish\n' >m/truststore/broken.pem
allow_log 'reload: .*truststore/broken.pem: .*; the old configuration stays in force'
! kc m reload 2>err.txt || fail "a broken truststore was taken over"
grep -q 'truststore/broken.pem: ' err.txt || fail "it does not say why: $(cat err.txt)"
rm m/truststore/broken.pem
is_state "$SLOW" pushing || fail "the push did not outlast the reload: too fast a line for this test?"
shows next || fail "a new session is not shown the new certificate"
rm slow
wait_for 30 "the slow clone" has_applied "$G"
equal "$(pushes "$G" success)" 1 "pushes that ended well"
equal "$(pushes "$G" failure)" 0 "pushes that were broken"
knows_next()
{
	kc c1 reload && { kc c1 --json status >out.txt || true; } &&
		jq -e '[.alerts[].subject | select(contains("the master"))] | length == 1' out.txt
}
wait_for 20 "c1 to be shown the new certificate" knows_next
kc m config set backup.TLSCertAlias=ssl_cert >/dev/null
kc m reload >/dev/null

say "held while it is sent: broken off, and gone on with"
begin_push
kc m clone hold "127.0.0.1:$SLOW" >/dev/null
wait_for 10 "the end of the push" is_state "$SLOW" held
equal "$(pushes "$G" failure)" 1
rm slow
kc m clone resume "127.0.0.1:$SLOW" >/dev/null
wait_for 30 "the resumed clone" has_applied "$G"
kc c1 audit --event receive.start >out.txt
grep -q 'goes on at byte' out.txt || fail "it began again"

say "stopped while it is sent: finished"
begin_push
kc m stop >/dev/null
is_state "$SLOW" pushing || fail "stop broke the push off"
rm slow
wait_for 30 "the push to be finished" has_applied "$G"
equal "$(pushes "$G" failure)" 0
equal "$(pushes "$G" success)" 1
wait_for 10 "the clone to hear that the task is down" eval '[ "$(kc c1 --json status | jq .self.master.stopped)" = true ]'
kc m start >/dev/null

say "a second replicate-now joins it"
begin_push
kc m replicate-now >/dev/null &
second=$!
rm slow
wait "$second"
equal "$(generation)" "$G" "the second made a backup of its own"
equal "$(pushes "$G" success)" 1

finish
