#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# init: makes everything or nothing, overwrites nothing, and leaves no password in the clear.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin init openssl sqlite3

printf 'correct horse battery\n' >pw
printf 'for the transport\n' >p12pw

tree()
{
	# Names, modes and contents below a folder.
	find "$1" -printf '%P %y %m\n' | sort
	find "$1" -type f -print0 | sort -z | xargs -0 -r sha256sum
}

# unchanged FOLDER STATUS COMMAND…: the command fails so, and what is in the folder stays as it was.
unchanged()
{
	local folder=$1 before

	shift
	before=$(tree "$folder")
	expect "$@" 2>err
	equal "$(tree "$folder")" "$before" "a failed init changed $folder"
}

say "a master"
keyclone init master --dir m --port 1111 --password-file pw >said
grep -q 'ReadWritePaths=' said || fail "it does not say what a service must be allowed to write"
grep -q 'cert export --alias ssl_cert' said || fail "it does not say what comes next"
for name in . backups keystore log run secrets state truststore; do
	equal "$(stat -c %a "m/$name")" 700 "mode of m/$name"
done
for name in keyclone.properties keydb.sqlite keystore/keydb.key keystore/ssl_cert.key secrets/seal.key \
	secrets/identity.age secrets/signing.key secrets/authority.key state/state.db; do
	equal "$(stat -c %a "m/$name")" 600 "mode of m/$name"
done
kc m config check
! grep -r -q 'correct horse' m || fail "the password is in the clear in $(grep -r -l 'correct horse' m)"
openssl x509 -in m/keystore/ssl_cert.crt -noout -ext subjectAltName >san
for name in 'DNS:localhost' 'IP Address:127.0.0.1' 'IP Address:0:0:0:0:0:0:0:1' 'URI:urn:keyclone:role:master'; do
	grep -q "$name" san || fail "the certificate is not for $name: $(cat san)"
done
openssl verify -CAfile m/truststore/authority.pem m/keystore/ssl_cert.crt
for event in config.change cert.create password.seal; do
	kc m audit --event "$event" --json | grep '"outcome": *"success"' >/dev/null || fail "$event is not audited"
done

say "nothing is overwritten"
unchanged m 73 keyclone init master --dir m --password-file pw
grep -q 'exists; nothing was changed' err || fail "it says: $(cat err)"
unchanged m 73 keyclone init clone --dir m

say "a clone, with the password from standard input, relative paths and an address in brackets"
kc m cert export --alias ssl_cert --format p12 --p12-password-file p12pw --output site.p12
mkdir deep && cd deep
keyclone init clone --dir ../c1 --port 2222 --master '[::1]:1112' --site-certificate ../site.p12 \
	--p12-password-file ../p12pw --password-file - <../pw >/dev/null
cd ..
equal "$(kc c1 config get replication.MasterHost)" "::1"
equal "$(kc c1 config get replication.MasterListenPort)" 1112
equal "$(kc c1 config get backup.TLSCertAlias)" ssl_cert
kc c1 config check
cmp m/keystore/ssl_cert.crt c1/keystore/ssl_cert.crt || fail "the clone has another certificate"
[ ! -e c1/keystore/keydb.key ] || fail "a clone's master key file comes with the first restore"

say "a key database of somebody else"
sqlite3 other.db 'CREATE TABLE t (a PRIMARY KEY); INSERT INTO t VALUES (1)'
sum=$(sha256sum other.db)
keyclone init master --dir m2 --password-file pw --keydb other.db --json >said
grep -q '"keydb": *"[^"]*/other.db"' said || fail "it says: $(cat said)"
equal "$(sha256sum other.db)" "$sum" "init changed the key database"
[ ! -e m2/keydb.sqlite ] || fail "it made a key database of its own"
kc m2 config check

say "wrong from the start: nothing is made"
printf 'short\n' >short
mkdir empty
unchanged empty 64 keyclone init master --dir empty/x --password-file short
unchanged empty 64 keyclone init master --password-file pw
unchanged empty 64 keyclone init master --dir empty/x --password-file pw --port 65536
unchanged empty 64 keyclone init clone --dir empty/x --master 'a b'
unchanged empty 64 keyclone init master --dir empty/x </dev/null
unchanged empty 1 keyclone init master --dir empty/x --password-file missing

say "wrong in the middle: what was made is taken back"
printf 'no certificate\n' >bad.p12
unchanged empty 65 keyclone init clone --dir empty/x/y --site-certificate bad.p12 --p12-password-file p12pw
unchanged empty 65 keyclone init clone --dir empty/x/y --site-certificate site.p12 --p12-password-file pw
unchanged empty 65 keyclone init master --dir empty/x/y --password-file pw --keydb bad.p12
for there in keydb.sqlite keystore/ssl_cert.crt keystore/keydb.key truststore/authority.pem secrets/authority.key \
	secrets/authority.crt state/state.db state log; do
	rm -rf half
	mkdir -p "half/$(dirname "$there")"
	printf 'mine\n' >"half/$there"
	status=0
	before=$(tree half)
	keyclone init master --dir half --password-file pw >/dev/null 2>err || status=$?
	[ "$status" != 0 ] || fail "init over half/$there succeeded"
	equal "$(tree half)" "$before" "init over half/$there left something"
done

finish
