#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# site-certificate: one PKCS#12 file for all machines, as openssl and keytool make it: self-signed, for no host in
# particular. With `init`, and in the place of another certificate on machines that run.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin site-certificate sqlite3 openssl keytool jq

printf 'correct horse battery\n' >pw
printf 'for the transport\n' >p12pw

say "openssl's, with init"
openssl req -x509 -newkey rsa:2048 -nodes -keyout site.key -out site.crt -days 800 -subj '/O=Company/CN=site' 2>/dev/null
openssl pkcs12 -export -legacy -in site.crt -inkey site.key -name 'site cert' -passout file:p12pw -out site.p12
free_port
master_port=$PORT
keyclone init master --dir m --port "$master_port" --password-file pw --site-certificate site.p12 --p12-password-file p12pw \
	>/dev/null
kc m config set backup.OnChange=false >/dev/null
free_port
clone_port=$PORT
keyclone init clone --dir c1 --port "$clone_port" --master "127.0.0.1:$master_port" --site-certificate site.p12 \
	--p12-password-file p12pw >/dev/null
kc m clone add "127.0.0.1:$clone_port" >/dev/null
start_daemon c1
start_daemon m
kc m key generate --count 3 >/dev/null
kc m replicate-now
same_keys m c1

say "what the clone shows is what it has, and trusted"
fingerprint=$(openssl x509 -in site.crt -outform der | sha256sum)
kc m --json cert show "127.0.0.1:$clone_port" >shown
equal "$(jq -r '.certificates[0].sha256' shown)  -" "$fingerprint" "the certificate that is shown"
jq -e '.trusted and (.certificates | length) == 1' shown >/dev/null || fail "it is not trusted: $(cat shown)"
kc m status >status.txt || true
grep -q 'Certificate site-cert ends in 79[89] days; rsa-2048, .*TLS client and server,$' status.txt || fail "$(cat status.txt)"
grep -q '^  SHA-256 [0-9a-f]\{64\}\.$' status.txt || fail "$(cat status.txt)"
kc m --json status | jq -e '.certificates[0] | .alias == "site-cert" and .days_left > 790 and .key_type == "rsa-2048"
	and .state == "in use"' >/dev/null || fail "the JSON of status"

say "keytool's in its place, on machines that run"
keytool -genkeypair -alias Second -keyalg EC -groupname secp384r1 -dname 'CN=second, O=Company' -validity 400 \
	-keystore second.p12 -storetype PKCS12 -storepass 'for the transport' >/dev/null 2>&1
for dir in m c1; do
	kc "$dir" cert import second.p12 --p12-password-file p12pw --trust >out
	grep -q "backup.TLSCertAlias=second" out || fail "it does not say what comes next: $(cat out)"
	expect 0 kc "$dir" cert show second >/dev/null
	kc "$dir" reload >/dev/null # who trusts the new one first is not refused
done
# Between the two switches one machine has a certificate that the other does not take for its own.
allow_log 'warning: .*refused'
for dir in m c1; do
	kc "$dir" config set backup.TLSCertAlias=second >/dev/null
	expect 77 kc "$dir" cert remove second 2>err
	expect 77 kc "$dir" cert remove site-cert 2>err # until it is told
	grep -q "until 'keyclone reload'" err || fail "it says: $(cat err)"
	kc "$dir" reload >/dev/null
done
kc m key generate --count 2 >/dev/null
kc m replicate-now
same_keys m c1
for dir in m c1; do
	kc "$dir" cert remove site-cert >/dev/null
	expect 77 kc "$dir" trust remove second 2>err
	grep -q "second: the certificates in use hang on it" err || fail "it says: $(cat err)"
	kc "$dir" trust remove site >/dev/null
	cmp "$dir"/truststore/retired/site.20*.pem site.crt
	equal "$(kc "$dir" --json trust list | jq -r '[.trusted[].name] | join(" ")')" second "what $dir trusts"
	kc "$dir" --json cert list --retired | jq -e '.retired[0].alias == "site-cert" and .retired[0].has_key' >/dev/null ||
		fail "$dir has not retired it"
	kc "$dir" --json cert list | jq -e '[.certificates[].alias] == ["second"]' >/dev/null || fail "$(kc "$dir" cert list)"
done
kc c1 --json cert show "127.0.0.1:$master_port" | jq -e '.certificates[0].cn == "second" and .trusted' >/dev/null ||
	fail "the master shows another one"
say "one that is damaged hides no other"
printf 'rubbish\n' >m/keystore/broken.crt
expect 65 kc m cert list >out 2>err
grep -q '^second  *yes  in use ' out || fail "$(cat out)"
grep -q '^broken  *no   no key, unreadable  *-' out || fail "$(cat out)"
grep -q 'broken.crt: ' err || fail "it says: $(cat err)"
expect 65 kc m --json cert list 2>/dev/null | jq -e '[.certificates[].state] == ["no key, unreadable", "in use"]' >/dev/null ||
	fail "the JSON of cert list"
expect 65 kc m cert show broken 2>/dev/null
rm m/keystore/broken.crt

equal "$(kc m audit --json --event cert.remove | jq -rs '[.[].outcome] | join(" ")')" "started success" "the audit"

finish
