#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Certificates that are taken back. By the own authority: clone remove and cert revoke shut a clone out at once, also where a
# session is open. By another authority: a clone's tls.CRLFile, made by certtool, is taken over as it changes, without a command;
# a list that is out of date still refuses; one that is forged or garbage leaves what was before in force, and keeps keycloned from
# starting.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin revoked certtool jq openssl python3

allow_log 'was revoked'
allow_log 'certificate revoked'
allow_log 'refused'
allow_log 'is out of date'
allow_log 'no revocation list in it'
allow_log 'the master is silent'
# A clone that is removed loses its session, whatever that was carrying.
allow_log 'was not received: '

# A clone with a certificate of its own.
make_own_clone()
{
	kc m cert create --issued --role clone --alias "$1" --cn "$1" --san 127.0.0.1 >/dev/null
	kc m cert export --alias "$1" --format p12 --p12-password-file p12pw --output "$1.p12" >/dev/null
	free_port
	declare -g "PORT_$1=$PORT"
	keyclone init clone --dir "$1" --port "$PORT" --master "127.0.0.1:$MASTER_PORT" --site-certificate "$1.p12" \
		--p12-password-file p12pw >/dev/null
	kc m clone add "127.0.0.1:$PORT" >/dev/null
}

field() { # DIR EXPRESSION of the JSON of status, as j
	(kc "$1" --json status || true) | python3 -c "import json, sys; j = json.load(sys.stdin); print($2)"
}
is() { [ "$(field "$1" "$2")" = "$3" ]; }
clone_is() { # PORT STATE
	is m "[c['state'] for c in j['clones'] if c['port'] == $1][0]" "$2"
}

say "two clones with certificates of their own"
make_master m >/dev/null
kc m config set backup.KeyDerivationWork=15 >/dev/null
make_own_clone c1
make_own_clone c2
for c in c1 c2; do start_daemon $c; done
kc m key generate --count 3 >/dev/null
start_daemon m
kc m replicate-now >/dev/null
same_keys m c1
equal "$(field m "j['revocation_lists']")" "[]"

say "a clone that is removed is shut out"
kc m --json clone remove "127.0.0.1:$PORT_c1" >out
serial=$(python3 -c 'import json; print(" ".join(json.load(open("out"))["revoked"]))')
[ -n "$serial" ] || fail "nothing was revoked: $(cat out)"
kc m cert show c1 | grep -qi "$serial" || fail "$serial is not the serial number of c1"
openssl pkcs12 -in c1.p12 -passin file:p12pw -nodes -out c1.pem 2>/dev/null
status=0
timeout 20 openssl s_client -connect "127.0.0.1:$MASTER_PORT" -cert c1.pem -key c1.pem -alpn keyclone/1 -ign_eof </dev/null >tls 2>&1 || status=$?
grep -q 'alert certificate revoked' tls || fail "no alert: $(tail -n 3 tls)"
wait_for 20 "the audit record of the refusal" bash -c "timeout 20 keyclone -c m/keyclone.properties audit | grep KC0308E" >/dev/null
kc m audit --event cert.revoke | grep -i "$serial" >/dev/null || fail "the revocation is not in the audit log"

say "one that is revoked by its SHA-256 loses its open session"
wait_for 20 "its session is made anew" clone_is "$PORT_c2" current
sha=$(kc m --json cert show c2 | python3 -c 'import json, sys; print(json.load(sys.stdin)["sha256"])')
kc m cert revoke "$sha" >out
grep -q 'is revoked' out || fail "it says: $(cat out)"
grep -q 'has ended [12] sessions\{0,1\} with it' out || fail "it says: $(cat out)"
kc m --json cert list | python3 -c "import json, sys
states = {c['alias']: c['state'] for c in json.load(sys.stdin)['certificates']}
assert states == {'c1': 'revoked', 'c2': 'revoked', 'ssl_cert': 'in use'}, states"
kc m cert list | grep -q '^c2  *yes  revoked ' || fail "$(kc m cert list)"
wait_for 20 "c2 is refused" grep -q 'clone .*: refused: certificate c2 was revoked at' m.log
wait_for 20 "and shown so" clone_is "$PORT_c2" refused
field m "j['clones'][0]['last_error']" | grep -q 'certificate c2 was revoked at 20.*by' || fail "the refusal does not say why"
wait_for 20 "c2 knows why" grep -q 'refused by the peer: certificate revoked' c2.log
kc m cert revoke "$sha" | grep -q 'was revoked before' || fail "revoked twice"
equal "$(field m "[l['revoked'] for l in j['revocation_lists']]")" "[2]"
kc m cert revoke 0badcafe | grep -q 'no session with it was open' || fail "what happened with one that nobody shows"
kc m --json cert revoke 0badcafe | grep -q '"sessions_ended": *0' || fail "the JSON of it"
expect 64 kc m cert revoke "$(kc m --json cert show ssl_cert | python3 -c 'import json, sys; print(json.load(sys.stdin)["sha256"])')" 2>err
grep -q 'the one that this machine speaks with' err || fail "$(cat err)"
expect 65 kc m cert revoke c2/keyclone.properties 2>/dev/null

expect 77 kc m trust remove authority 2>err
grep -q "authority: the certificates in use hang on it.*cert rotate.*--force" err || fail "it says: $(cat err)"
kc m --json trust list | grep -q '"authority"' || fail "$(kc m trust list)"

kc m clone remove "127.0.0.1:$PORT_c2" >/dev/null
for c in c1 c2; do stop_daemon $c; done

say "one that is removed while certificates are rotated: every one that was issued to it"
allow_log 'rotation of certificates: trust waits for clone'
allow_log 'clone .*: (unreachable|failed)'
for c in d1 d2; do
	free_port
	declare "PORT_$c=$PORT"
	kc m enroll token --master "127.0.0.1:$MASTER_PORT" >tok 2>/dev/null
	timeout 60 keyclone enroll join --dir "$c" --port "$PORT" - <tok >out
done
start_daemon d1
wait_for 20 "d1 has the keys" clone_is "$PORT_d1" current
joined=$(date +%s)
is_later() { [ "$(date +%s)" -gt "$joined" ]; }
wait_for 20 "another certificate ends later" is_later
kc d1 cert renew >/dev/null
kc m cert rotate --new --no-wait >/dev/null
# A clone's step, as the status of the rotation says.
step_of()
{
	kc m --json cert rotate --status | jq -r ".rotation.clones[] | select(.clone == \"127.0.0.1:$1\") | .step"
}
is_prepared() { [ "$(step_of "$PORT_d1")" = switch ]; }
wait_for 30 "d1 has its next certificate" is_prepared
# refused_as ALIAS: what d1 has under that alias opens no session.
refused_as()
{
	kc d1 cert export --alias "$1" --format p12 --p12-password-file p12pw --output "$1.p12" >/dev/null
	openssl pkcs12 -in "$1.p12" -passin file:p12pw -nodes -out "$1.pem" 2>/dev/null
	timeout 20 openssl s_client -connect "127.0.0.1:$MASTER_PORT" -cert "$1.pem" -key "$1.pem" -alpn keyclone/1 -ign_eof \
		</dev/null >tls 2>&1 || true
	grep -q 'alert certificate revoked' tls
}
kc m --json clone remove "127.0.0.1:$PORT_d1" >out
# By enrolment, by renewal, by the rotation.
equal "$(jq '.revoked | length' out)" 3 "revoked certificates"
equal "$(step_of "$PORT_d1")" "" "the rotation does not wait for it"
equal "$(kc d1 --json cert list | jq -r '.certificates[].alias' | wc -l)" 2
for alias in $(kc d1 --json cert list | jq -r '.certificates[].alias'); do
	refused_as "$alias" || fail "d1 is let in with $alias: $(tail -n 3 tls)"
done
stop_daemon d1
start_daemon d2
is_rotated() { [ "$(kc m --json cert rotate --status | jq .rotation.active)" = false ]; }
wait_for 60 "the rotation is over" is_rotated
stop_daemon d2

say "… and while the authority is replaced"
kc m cert rotate --new-authority --no-wait >/dev/null
serial=$(kc d2 --json cert show | jq -r .serial)
kc m --json clone remove "127.0.0.1:$PORT_d2" >out
jq -e --arg serial "$serial" '.revoked | index([$serial])' out >/dev/null || fail "$serial is not revoked: $(cat out)"
wait_for 60 "the rotation is over" is_rotated

say "a master and a clone with certificates of another authority, and its list"
certtool --generate-privkey --key-type ecdsa --outfile ca.key 2>/dev/null
certtool --generate-privkey --key-type ecdsa --outfile rogue.key 2>/dev/null
printf 'cn = "Site CA"\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 100\n' >ca.tmpl
certtool --generate-self-signed --load-privkey ca.key --template ca.tmpl --outfile ca.pem 2>/dev/null
certtool --generate-self-signed --load-privkey rogue.key --template ca.tmpl --outfile rogue.pem 2>/dev/null
for n in master clone; do
	certtool --generate-privkey --key-type ecdsa --outfile $n.key 2>/dev/null
	printf 'cn = "site-%s"\nip_address = 127.0.0.1\nsigning_key\ntls_www_server\ntls_www_client\nexpiration_days = 90\n' $n >$n.tmpl
	certtool --generate-certificate --load-privkey $n.key --load-ca-certificate ca.pem --load-ca-privkey ca.key \
		--template $n.tmpl --outfile $n.crt 2>/dev/null
done
free_port
keyclone init clone --dir c4 --port "$PORT" --master "127.0.0.1:$MASTER_PORT" >/dev/null
for n in m:master c4:clone; do
	kc ${n%:*} trust add ca.pem >/dev/null
	kc ${n%:*} cert import --alias site --key ${n#*:}.key ${n#*:}.crt >/dev/null
	kc ${n%:*} config set backup.TLSCertAlias=site >/dev/null
done

# list OUTPUT KEY BEGIN END [CERTIFICATE…]: dates as `date` reads them
list()
{
	local out=$1 by=$2 args=()

	printf 'crl_number = %s\ncrl_this_update_date = "%s"\ncrl_next_update_date = "%s"\n' "$((++NUMBER))" \
		"$(date -u -d "$3" '+%F %T')" "$(date -u -d "$4" '+%F %T')" >crl.tmpl
	shift 4
	[ $# = 0 ] || args=(--load-certificate "$1")
	certtool --generate-crl --load-ca-privkey "$by.key" --load-ca-certificate "$by.pem" --template crl.tmpl \
		"${args[@]}" --outfile "$out.new" >certtool.out 2>&1 || fail "certtool: $(cat certtool.out)"
	mv "$out.new" "$out"
}
NUMBER=0
list c4/lists.pem ca '-1 hour' '2 days'
kc c4 config set tls.CRLFile=lists.pem >/dev/null
start_daemon c4
PORT_c4=$PORT
kc m reload >/dev/null
kc m clone add "127.0.0.1:$PORT_c4" >/dev/null
kc m replicate-now >/dev/null
same_keys m c4
equal "$(field c4 "[l['issuer'] for l in j['revocation_lists']]")" "['Site CA']"

say "a file in another folder takes a restart, and disturbs no reload"
mkdir c4/elsewhere
cp c4/lists.pem c4/elsewhere/
kc c4 config set tls.CRLFile=elsewhere/lists.pem >out
grep -q '^tls.CRLFile: .*takes it over when it starts' out || fail "it says: $(cat out)"
kc c4 config set replication.MaxSilence=1h >/dev/null
kc c4 reload >out
grep -q 'replication.MaxSilence' out || fail "it says: $(cat out)"
grep -q 'tls.CRLFile.*restart\|restart.*tls.CRLFile' out || fail "it says: $(cat out)"
equal "$(field c4 "[l['issuer'] for l in j['revocation_lists']]")" "['Site CA']"
kc c4 config set tls.CRLFile=lists.pem >/dev/null

say "its list revokes the master, and is out of date: no command, the open session ends, and it is an alert"
list c4/lists.pem ca '-9 days' '-2 days' master.crt
wait_for 20 "the clone takes it over" grep -q 'tls.CRLFile has changed' c4.log
wait_for 20 "the master is refused" grep -q 'certificate site-master was revoked at' c4.log
wait_for 20 "the master knows why" grep -q 'clone .*: refused: refused by the peer: certificate revoked' m.log
wait_for 20 "and shows it" clone_is "$PORT_c4" refused
equal "$(field c4 "[a['alert'] for a in j['alerts']]")" "['revocation.stale']"
kc c4 audit | grep 'revocation.stale' >/dev/null || fail "the alert is not in the audit log"

say "a forged list, and garbage, leave it in force"
allow_log 'tls.CRLFile: .*what was in force before stays in force'
allow_log 'reload: tls.CRLFile: .*; the old configuration stays in force'
list c4/lists.pem rogue '-1 hour' '2 days'
expect 78 kc c4 reload 2>err
grep -q 'tls.CRLFile: .*lists.pem: the revocation list of Site CA, which is not in the truststore' err || fail "$(cat err)"
printf 'rubbish\n' >c4/lists.pem
wait_for 20 "it says so" grep -q 'no revocation list in it.*what was in force before stays in force' c4.log
is c4 "[a['alert'] for a in j['alerts'] if a['alert'].endswith('failed')]" "['revocation.failed']" || fail "no alert"
expect 1 kc m replicate-now >/dev/null 2>&1
clone_is "$PORT_c4" refused || fail "the master was let in"

say "with it the daemon does not start"
stop_daemon c4
status=0
timeout 30 keycloned -c c4/keyclone.properties 2>err || status=$?
equal "$status" 78 "exit status"
grep -q 'keycloned: tls.CRLFile: .*lists.pem: no revocation list in it' err || fail "$(cat err)"

say "a list that revokes nobody lets it in again"
list c4/lists.pem ca '-1 minute' '2 days'
start_daemon c4
kc m key generate --count 1 >/dev/null
kc m replicate-now >/dev/null
same_keys m c4
equal "$(field c4 "[a for a in j['alerts'] if a['alert'].startswith('rev')]")" "[]"

equal "$(kc m --json clone remove "127.0.0.1:$PORT_c4" | python3 -c 'import json, sys; print(json.load(sys.stdin)["revoked"])')" '[]'

finish
