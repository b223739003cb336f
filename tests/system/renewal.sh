#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Certificates end, and get their successors: by the own authority, from a directory, from the master's depot; and one
# that has ended is refused, with the way back.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin renewal certtool openssl

# issue NAME CN ROLE BEGIN END: NAME.key (encrypted), NAME.crt, NAME.p12, of the authority of m.
issue()
{
	local name=$1 uri=

	[ "$3" = - ] || uri="uri = urn:keyclone:role:$3"
	certtool --generate-privkey --key-type=ecdsa --no-text --outfile "$name.plain" 2>/dev/null
	cat >"$name.tmpl" <<-TEMPLATE
		cn = "$2"
		serial = $RANDOM$RANDOM
		ip_address = 127.0.0.1
		$uri
		signing_key
		tls_www_server
		tls_www_client
		activation_date = "$(date -u -d "$4" '+%Y-%m-%d %H:%M:%S UTC')"
		expiration_date = "$(date -u -d "$5" '+%Y-%m-%d %H:%M:%S UTC')"
	TEMPLATE
	certtool --generate-certificate --load-privkey "$name.plain" --template "$name.tmpl" --outfile "$name.crt" --no-text \
		--load-ca-certificate m/secrets/authority.crt --load-ca-privkey m/secrets/authority.key \
		--password "$(cat m/secrets/authority.secret)" 2>/dev/null
	openssl pkcs8 -topk8 -in "$name.plain" -out "$name.key" -passout file:p12pw
	openssl pkcs12 -export -in "$name.crt" -inkey "$name.plain" -certfile m/secrets/authority.crt -name tls \
		-passout file:p12pw -out "$name.p12"
}

# clone_with NAME P12: a clone with a certificate of its own.
clone_with()
{
	free_port
	keyclone init clone --dir "$1" --port "$PORT" --master "127.0.0.1:$MASTER_PORT" --site-certificate "$2" \
		--p12-password-file p12pw
	kc m clone add "127.0.0.1:$PORT"
}

# A member of what `cert show` says.
cert()
{
	kc "$1" --json cert show | sed 's/.*"'"$2"'":"\{0,1\}\([^",}]*\).*/\1/'
}

renewed_since()
{
	[ "$(cert "$1" sha256)" != "$2" ]
}

# recorded DIR OUTCOME EXPRESSION: a record of cert.renew.
recorded()
{
	grep -q "\"cert.renew\",\"outcome\":\"$2\".*$3" "$1/log/replication_audit.log" || fail "$1: no record '$2 $3'"
}

# The line of a clone in the master's status.
clone_is()
{
	{ kc m status || true; } | grep -q "^127.0.0.1:$1 *$2 "
}

make_master m >/dev/null
issue c1 c1.example clone '2 days ago' '20 hours'
issue c2 c2.example clone '1 hour ago' '300 days'
issue m0 master.example master '2 days ago' '20 hours'
kc m cert import m0.p12 --alias ssl_cert --p12-password-file p12pw --replace >/dev/null
clone_with c1 c1.p12 >/dev/null
p1=$PORT
clone_with c2 c2.p12 >/dev/null
p2=$PORT
mkdir ext
kc c2 config set "tls.ExternalCertDir=$T/ext" >/dev/null
allow_log 'alert: the end of the certificate of '
allow_log 'clone .*: unreachable: connection refused'

say "two thirds of their life are over: c1 and the master renew theirs"
old_m=$(cert m sha256)
old_1=$(cert c1 sha256)
old_2=$(cert c2 sha256)
start_daemon c1
start_daemon c2
allow_log 'certificate ssl_cert is not renewed by the own authority'
start_daemon m
kc m key generate --count 5 >/dev/null
kc m replicate-now >/dev/null
wait_for 20 "another certificate of c1" renewed_since c1 "$old_1"
wait_for 20 "another certificate of the master" renewed_since m "$old_m"
equal "$(cert c2 sha256)" "$old_2" "c2 has time"
equal "$(cert c1 cn) $(cert c1 role)" 'c1.example clone'
kc c1 --json cert show | grep -q '"ips":\["127.0.0.1"\]'
equal "$(cert m cn) $(cert m role)" 'master.example master'
[ "$(cert c1 days_left)" -ge 1 ]
find c1/keystore/retired -name '*.key' | grep -q . || fail "the old key of c1 is not kept"
recorded c1 success 'by the own authority'
recorded m success 'by the own authority'
recorded m started "\"127.0.0.1:$p1\".*in place of certificate c1.example"
kc m key generate --count 5 >/dev/null
kc m replicate-now >/dev/null
same_keys m c1
same_keys m c2

say "at once: cert renew"
kc c2 cert renew >renew.out
grep -q 'Certificate .* was renewed: until ' renew.out
renewed_since c2 "$old_2" || fail "c2 has its old one"
kc m replicate-now >/dev/null
say "a directory is watched: what does not fit is told on both machines, what fits is taken"
issue other x.example clone '1 hour ago' '400 days'
issue next c2.example clone '1 hour ago' '400 days'
cp other.crt ext/client_cert.pem
cp other.key ext/client_key.pem
cp p12pw ext/passphrase
old_2=$(cert c2 sha256)
allow_log "is not renewed from tls.ExternalCertDir: its common name is 'x.example', that of the certificate in use 'c2.example'"
kc c2 reload >/dev/null
told_by()
{
	grep -q "$1" "$2"
}
wait_for 10 "the warning of c2" told_by 'warning: certificate tls is not renewed from tls.ExternalCertDir' c2.log
wait_for 10 "the master's word of it" told_by "clone 127.0.0.1:$p2 warns: certificate tls is not renewed from" m.log
expect 2 kc m --json status >status.json
grep -q '"warnings":\["certificate tls is not renewed from tls.ExternalCertDir' status.json
equal "$(cert c2 sha256)" "$old_2" "c2 has taken what it must not"
{ kc c2 check || true; } >check.out
grep -q "renewal.*its common name is 'x.example'" check.out || fail "check says: $(cat check.out)"
mkdir ext2
cp next.crt ext2/tls.crt
cp next.key ext2/tls.key
printf 'for the transport' | base64 >ext2/tls.sth
cp m/secrets/authority.crt ext2/ca.crt
cp -r ext2/. ext
rm ext/client_* ext/passphrase
kc c2 reload >/dev/null
wait_for 10 "the certificate of the directory" renewed_since c2 "$old_2"
wait_for 10 "that the files may go" told_by 'the files are not needed any more, remove them' c2.log
equal "$(cert c2 sha256)" "$(openssl x509 -in next.crt -outform der | sha256sum | cut -d' ' -f1)"
grep -q 'ENCRYPTED PRIVATE KEY' c2/keystore/tls.key
{ kc c2 check || true; } >check.out
grep -q 'renewal.* has no certificate but the one in use' check.out || fail "check says: $(cat check.out)"
kc m replicate-now >/dev/null
recorded c2 success 'from tls.ExternalCertDir'

say "cert renew --from"
expect 1 kc c1 cert renew --from "$T/none" 2>err
grep -q 'none: no such directory' err
expect 1 kc c1 cert renew --from ext2 2>err
grep -q "its common name is 'c2.example', that of the certificate in use 'c1.example'" err
issue next1 c1.example clone '1 hour ago' '500 days'
cp next1.crt ext2/tls.crt
cp next1.key ext2/tls.key
kc c1 --json cert renew --from ext2 >renew.json
grep -q '"renewed":"tls",.*"daemon":true' renew.json
# Within the second in which it was made it is whole.
case $(cert c1 days_left) in 499 | 500) ;; *) fail "it has $(cert c1 days_left) days left" ;; esac
kc m replicate-now >/dev/null
expect 1 kc c1 cert renew --from ext2 2>err
grep -q 'there is the one in use' err

say "the depot: each clone gets its own"
issue depot d.example clone '1 hour ago' '600 days'
expect 1 kc m cert depot add "127.0.0.1:$p2" m0.p12 --p12-password-file p12pw 2>err
grep -q 'carries another role' err
kc m cert depot add "127.0.0.1:$p2" depot.p12 --p12-password-file p12pw >/dev/null
expect 73 kc m cert depot add "127.0.0.1:$p2" depot.p12 --p12-password-file p12pw 2>err
grep -q "the depot keeps a certificate for 127.0.0.1:$p2 already; --replace takes its place" err || fail "it says: $(cat err)"
grep -q "depot, for 127.0.0.1:$p2, certificate d.example" m/log/replication_audit.log || fail "the audit of the depot"
kc m cert depot list | grep -q "^127.0.0.1:$p2 .*d.example"
find m/keystore/depot -name '*.key' -exec grep -L 'ENCRYPTED' {} + | grep -q . && fail "a key in the clear"
expect 1 kc c1 cert fetch 2>err
grep -q "the depot keeps no certificate for 127.0.0.1:$p1" err
expect 64 kc m cert fetch 2>/dev/null
kc c2 cert fetch >fetch.out
grep -q 'was renewed: until' fetch.out
equal "$(cert c2 cn)" d.example
kc m key generate --count 5 >/dev/null
kc m replicate-now >/dev/null
same_keys m c2
expect 1 kc c2 cert fetch 2>err
grep -q 'in use there' err
recorded m started "\"127.0.0.1:$p2\".*from the depot, certificate d.example"
recorded c2 success "from the master's depot"
kc m cert depot remove "127.0.0.1:$p2" >/dev/null
equal "$(kc m --json cert depot list)" '{"certificates":[]}'

say "the dates of what is imported are said"
issue past d.example clone '3 days ago' '2 days ago'
kc c2 cert import past.p12 --alias past --p12-password-file p12pw >out 2>err
grep -q '^  expired 2 days ago, at ' out || fail "it says: $(cat out)"
grep -q 'alias past: the certificate expired at .*, 2 days ago' err || fail "it says: $(cat err)"
issue future d.example clone '3 days' '20 days'
kc c2 cert import future.p12 --alias future --p12-password-file p12pw >out 2>err
grep -q 'alias future: the certificate is not valid before 20' err || fail "it says: $(cat err)"
expect 73 kc c2 cert import past.p12 --alias past --p12-password-file p12pw 2>err
grep -q 'alias past: exists already in .*; --replace takes its place' err || fail "it says: $(cat err)"
for command in 'cert import' "cert depot add 127.0.0.1:$p2"; do
	where=c2
	[ "$command" = 'cert import' ] || where=m
	# shellcheck disable=SC2086
	expect 64 kc "$where" $command past.p12 --replace </dev/null 2>err
	grep -q 'no terminal to ask on; give --p12-password-file FILE' err || fail "$command says: $(cat err)"
done
kc c2 cert remove past >/dev/null
kc c2 cert remove future >/dev/null

say "one that has ended is refused, until there is another"
stop_daemon m
issue ended d.example clone '1 day ago' '6 seconds'
kc c2 cert import ended.p12 --alias tls --p12-password-file p12pw --replace >/dev/null
allow_log 'alias tls: its certificate has expired .*; create or import another one'
allow_log 'certificate tls is not renewed (by the own authority|from the master.s depot|from tls.ExternalCertDir)'
allow_log "clone 127.0.0.1:$p2: refused: certificate expired"
allow_log 'refused 127.0.0.1: (refused by the peer: )?certificate expired'
kc c2 reload >/dev/null
wait_for 15 "the end" told_by 'the end of the certificate of this machine (tls): it ended at' c2.log
start_daemon m
wait_for 10 "the refusal" clone_is "$p2" refused
expect 2 kc m status >status.out
grep -Eq "^127.0.0.1:$p2 +refused .*, certificate expired [0-9]+ seconds? ago \(d.example, its end" status.out || fail "$(cat status.out)"
expect 2 kc m --json status >status.json
grep -q '"last_error_code":"KC0302E"' status.json
expect 2 kc c2 status >status.out
grep -q 'Certificate tls has EXPIRED' status.out
kc c2 config set replication.RetryMin=4s >/dev/null
expect 0 kc c2 reload >reload.out
grep -q 'replication.RetryMin' reload.out || fail "reload says: $(cat reload.out)"
stop_daemon c2
start_daemon c2
issue back d.example clone '1 hour ago' '600 days'
cp back.crt ext2/tls.crt
cp back.key ext2/tls.key
kc c2 cert renew --from ext2 >/dev/null
wait_for 20 "c2 is back" clone_is "$p2" current

say "a rotation does not begin with what every clone would refuse"
issue past m.example master '3 days ago' '1 day ago'
issue later m.example master '1 day' '90 days'
for name in past later; do
	kc m cert import "$name.p12" --alias "$name" --p12-password-file p12pw >/dev/null
done
kc m cert create --alias cl --issued --role clone --cn cl --san 127.0.0.1 >/dev/null
cp m/keyclone.properties before
allow_log 'rotation of certificates: not begun: alias (past|later|cl): '
# not_begun ALIAS WHY
not_begun()
{
	expect 1 kc m cert rotate --to "$1" 2>err
	grep -q "alias $1: $2" err || fail "it says: $(cat err)"
	kc m cert rotate --status | grep -q 'No certificate was rotated here yet' || fail "a rotation to $1"
}
not_begun past 'its certificate has expired (its end .*); create or import another one'
not_begun later 'its certificate is not valid yet (its begin .*); wait for it'
not_begun cl "is a clone's certificate; a master needs one with the role master: 'keyclone cert create"
cmp before m/keyclone.properties || fail "the configuration is another"
kc m replicate-now >/dev/null

say "nor does a reload take it over: what is in force stays, and why is said"
allow_log 'reload: alias (past|later|cl): .*; the old configuration stays in force'
# not_taken DIR ALIAS WHY: in the place of what is in force
not_taken()
{
	local old

	old=$(kc "$1" config get backup.TLSCertAlias)
	kc "$1" config set "backup.TLSCertAlias=$2" >/dev/null
	expect 1 kc "$1" reload 2>err
	grep -q "alias $2: $3" err || fail "it says: $(cat err)"
	grep -q "error: reload: alias $2: $3" "$1.log" || fail "the log of $1 does not say it"
	kc "$1" audit --json --event config.reload | tail -n 1 | grep -q "\"failure\".*alias $2: $3" || fail "no record"
	kc m replicate-now --full >/dev/null
	{ kc "$1" --json status || true; } | grep -q "\"certificates\":\[{\"alias\":\"$old\"" || fail "another is in force"
	kc "$1" config set "backup.TLSCertAlias=$old" >/dev/null
	kc "$1" reload >/dev/null
}
for name in past later; do
	kc c2 cert import "$name.p12" --alias "$name" --p12-password-file p12pw >/dev/null
done
not_taken m past 'its certificate has expired'
not_taken m later 'its certificate is not valid yet'
not_taken m cl "is a clone's certificate"
not_taken c2 past 'its certificate has expired'
not_taken c2 later 'its certificate is not valid yet'

finish
