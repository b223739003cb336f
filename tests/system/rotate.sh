#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# rotate: certificates are replaced while keys are created and replicated: the site's and a clone's own, with a clone away
# for half of it, with the master killed, with another authority, and taken back. No replication fails for a reason of
# trust, and the old certificates are refused afterwards. KC_CLONES makes the fleet larger, KC_KILLS the kills more.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin rotate sqlite3 jq openssl

CLONES=${KC_CLONES:-3} KILLS=${KC_KILLS:-2} SEED=${KC_SEED:-$RANDOM}
RANDOM=$SEED
say "seed $SEED"
LIMIT=$((60 + CLONES * 15))

allow_log 'rotation of certificates: [a-z]+ waits for clone 127.0.0.1:[0-9]+: (connection|.*session|.*closed|the clone ended)'
allow_log 'the newest backup cannot be used, a new one is made' # it was killed before the file had its name
allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed): (connection|.*session|.*ended|.*closed)'
# Of openssl, with what was retired; that nobody else was refused the audit logs tell.
allow_log 'refused 127.0.0.1: .*(not in the truststore|was revoked)'
allow_log 'rotation of certificates: not begun: '
allow_log '(session ended|cannot connect|connection)'

rotation()
{
	kc m --json cert rotate --status | jq -r "$1"
}

in_use()
{
	kc "$1" config get backup.TLSCertAlias
}

# Not the master's, and made for a clone.
is_its_own()
{
	kc "$1" --json cert show | jq -e '.role == "clone"' >/dev/null || fail "$1 has: $(kc "$1" cert show)"
}

# One key each 100 ms, replicated as it comes.
writer()
{
	local i

	for ((i = 0; i < 6000; i++)); do
		# Not longer than the test.
		kill -0 $$ 2>/dev/null || return 0
		kc m key generate --alias "made-$1-$i" >/dev/null 2>&1 || true
		sleep 0.1
	done
}

start_writer()
{
	writer "$1" 8>&- 9>&- &
	WRITER=$!
}

stop_writer()
{
	kill "$WRITER"
	wait "$WRITER" 2>/dev/null || true
}

everyone()
{
	echo m $(seq -f 'c%g' "$CLONES")
}

# From here on: what was refused before was meant to be.
forget_refusals()
{
	local name

	for name in $(everyone); do
		wc -l <"$name/log/replication_audit.log" >"$name.seen"
	done
}

# Nobody refused anybody.
no_refusals()
{
	local name

	for name in $(everyone); do
		if tail -n "+$(($(cat "$name.seen") + 1))" "$name/log/replication_audit.log" |
			jq -e 'select(.event == "peer.refused" or ((.code // "") | test("^KC03|KC0116")))' >refused.out; then
			fail "refused at $name: $(head -n 3 refused.out)"
		fi
	done
}

everybody_has()
{
	local i

	for ((i = 1; i <= CLONES; i++)); do
		[ "$(dump m | sha256sum)" = "$(dump "c$i" | sha256sum)" ] || return 1
	done
}

converge()
{
	stop_writer
	expect 0 kc m replicate-now >/dev/null
	wait_for 20 "every clone has the master's keys" everybody_has
}

# refused PORT IDENTITY: a session with this certificate and key is ended before it begins.
refused()
{
	timeout 10 openssl s_client -connect "127.0.0.1:$1" -alpn keyclone/1 -cert "$2" -key "$2" -quiet \
		</dev/null >s_client.out 2>&1 || true
	grep -q -i 'alert' s_client.out
}

# c2 has the certificate of the site, all others one of their own, by enrolment.
make_master m >/dev/null
kc m config set backup.OnChange=true >/dev/null
start_daemon m
for ((i = 1; i <= CLONES; i++)); do
	if [ "$i" = 2 ]; then
		make_clone c2 >/dev/null
		kc m reload >/dev/null
	else
		free_port
		kc m enroll token --master "127.0.0.1:$MASTER_PORT" >tok 2>/dev/null
		expect 0 keyclone enroll join --dir "c$i" --port "$PORT" - <tok >/dev/null
	fi
	start_daemon "c$i"
done
openssl pkcs12 -in site.p12 -passin file:p12pw -nodes -out old.pem 2>/dev/null
kc c1 cert export --format p12 --p12-password-file p12pw --output own.p12 >/dev/null
openssl pkcs12 -in own.p12 -passin file:p12pw -nodes -out oldown.pem 2>/dev/null
expect 0 kc m replicate-now >/dev/null

forget_refusals

say "usage, and nothing to show or to take back"
expect 64 kc m cert rotate 2>/dev/null
expect 64 kc m cert rotate --new --to x 2>/dev/null
expect 64 kc m cert rotate --new --new-authority 2>/dev/null
for days in 0 18251; do
	expect 64 kc m cert rotate --new --days "$days" 2>err
	grep -q "days $days: 1 to 18250 are possible" err || fail "it says: $(cat err)"
done
expect 64 kc c1 cert rotate --new 2>err
grep -q 'from its master' err || fail "it says: $(cat err)"
expect 64 kc m cert rotate --abort 2>/dev/null
kc m cert rotate --status | grep -q 'No certificate was rotated' || fail "status"
expect 1 kc m cert rotate --to nowhere 2>err
grep -q 'nowhere: not in the keystore' err || fail "it says: $(cat err)"
equal "$(rotation .rotation)" null "a rotation that was not begun"

say "--new while keys are made; a clone is away for half of it"
start_writer a
stop_daemon "c$CLONES"
kc m cert rotate --new --no-wait >out
grep -q 'goes on by itself' out || fail "it says: $(cat out)"
expect 1 kc m cert rotate --new 2>err
grep -q 'is under way' err || fail "it says: $(cat err)"
wait_for "$LIMIT" "it waits for the clone that is away" eval \
	"[ \"\$(rotation '[.rotation.clones[] | select(.step != \"switch\")] | length')\" = 1 ]"
equal "$(rotation .rotation.phase)" prepare "the phase while a clone is away"
kc m cert rotate --status | grep -q 'connection refused' || fail "it does not say why"
equal "$(in_use m)" ssl_cert "the master's while a clone is away"
expect 77 kc m cert remove "$(rotation .rotation.to)" 2>err
grep -q 'a rotation of certificates needs it' err || fail "it says: $(cat err)"
start_daemon "c$CLONES"
wait_for "$LIMIT" "the rotation is over" eval '[ "$(rotation .rotation.active)" = false ]'
new=$(in_use m)
[ "$new" != ssl_cert ] || fail "the master still uses the old one"
equal "$(in_use c2)" "$new" "the clone's with the certificate of the site"
is_its_own c1
converge
no_refusals
port=$(kc c2 config get restore.ListenPort)
refused "$port" old.pem || fail "a clone takes the old site certificate: $(cat s_client.out)"
refused "$MASTER_PORT" oldown.pem || fail "the master takes a clone's old certificate: $(cat s_client.out)"
forget_refusals
ls m/keystore/retired/ssl_cert* c2/keystore/retired/ssl_cert* c1/keystore/retired/ssl_cert* >/dev/null
kc m audit --json --event cert.rotate | tail -n 1 | grep -q 'done' || fail "no record of the end"
last=$(rotation .rotation.to)
expect 1 kc m cert rotate --to nowhere 2>/dev/null
equal "$(rotation .rotation.to)" "$last" "the last rotation, after one that was not begun"
kc m cert rotate --status | grep -q "to $last, was completed" || fail "status"

say "taken back before a clone has changed: the one before, everywhere"
stop_daemon "c$CLONES"
kc m cert rotate --new --no-wait >/dev/null
wait_for "$LIMIT" "another clone has prepared itself" eval \
	"[ \"\$(rotation '[.rotation.clones[] | select(.step == \"switch\")] | length')\" != 0 ]"
expect 0 kc m cert rotate --abort >out
grep -q 'Taken back' out || fail "it says: $(cat out)"
equal "$(in_use m)" "$new" "the master's after it was taken back"
equal "$(in_use c2)" "$new" "the clone's after it was taken back"
start_daemon "c$CLONES"
expect 0 kc m replicate-now >/dev/null

say "--new-authority, the master killed $KILLS times"
start_writer b
kc m cert rotate --new-authority --no-wait >/dev/null
for ((i = 0; i < KILLS; i++)); do
	sleep "0.$((RANDOM % 9 + 1))"
	kill -KILL "${DAEMON_PID[m]}"
	wait "${DAEMON_PID[m]}" 2>/dev/null || true
	start_daemon m
done
wait_for "$LIMIT" "the rotation is over" eval '[ "$(rotation .rotation.active)" = false ]'
converge
no_refusals
equal "$(kc m --json trust list | jq -r '[.trusted[].cn] | join(",")' | grep -c ' G2$')" 1 "the new authority alone"
equal "$(kc "c$CLONES" --json trust list | jq -r '.trusted | length')" 1 "what a clone trusts"
refused "$port" old.pem || fail "a clone takes the old site certificate: $(cat s_client.out)"
refused "$MASTER_PORT" oldown.pem || fail "the master takes a clone's old certificate: $(cat s_client.out)"

forget_refusals

say "--to a certificate of another authority: the clones learn to trust it, one that is held as well"
kc m clone hold "127.0.0.1:$port" >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 90 \
	-subj '/CN=Another authority' 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ext.key -out ext.csr -subj '/CN=keys.example' 2>/dev/null
printf 'extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=IP:127.0.0.1\n' >ext.cnf
openssl x509 -req -in ext.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile ext.cnf -out ext.pem 2>/dev/null
kc m cert import ext.pem --key ext.key --alias external >/dev/null
expect 1 kc m cert rotate --to external 2>err
grep -q 'not in the truststore' err || fail "it says: $(cat err)"
kc m trust add ca.pem >/dev/null
expect 0 timeout "$LIMIT" keyclone -c m/keyclone.properties cert rotate --to external >out
equal "$(in_use m)" external "the master's"
equal "$(in_use c2)" external "the clone's with the certificate of the site"
is_its_own c1
kc m clone resume "127.0.0.1:$port" >/dev/null
kc m key generate >/dev/null
expect 0 kc m replicate-now >/dev/null
everybody_has || fail "a clone has other keys"
no_refusals

say "from one that is self-signed: it is trusted no longer, also by a master whose clones keep their own"
kc m cert create --alias ss --cn ss --san 127.0.0.1 >/dev/null
expect 0 timeout "$LIMIT" keyclone -c m/keyclone.properties cert rotate --to ss >/dev/null
kc m --json trust list | jq -e '[.trusted[].cn] | index(["ss"])' >/dev/null || fail "$(kc m trust list)"
expect 0 timeout "$LIMIT" keyclone -c m/keyclone.properties cert rotate --new >/dev/null
for name in $(everyone); do
	equal "$(kc "$name" --json trust list | jq '[.trusted[] | select(.cn == "ss")] | length')" 1 "trusted by $name"
done
kc m --json trust list | jq -e '[.trusted[].cn] | index(["Another authority"])' >/dev/null || fail "$(kc m trust list)"
kc m key generate >/dev/null
expect 0 kc m replicate-now >/dev/null
everybody_has || fail "a clone has other keys"
no_refusals

finish
