#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The master's TLS key is in SoftHSM: made there by pkcs11-tool, its certificate by certtool. It signs each handshake of a daemon
# that is confined, over a reload too; no file has the key. A wrong PIN, a PIN in the URI, a token, an object and a module that are
# not there are told apart.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin pkcs11 softhsm2-util pkcs11-tool certtool openssl
module=
for module in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so; do
	[ -e "$module" ] && break
done
[ -e "$module" ] || skip "libsofthsm2.so is not installed"

p11() { pkcs11-tool --module "$module" --token-label tls --login --pin 8642 "$@"; }

say "a token with a key, and a certificate for it"
mkdir hsm
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$T/hsm" >hsm.conf
export SOFTHSM2_CONF=$T/hsm.conf
softhsm2-util --init-token --free --label tls --pin 8642 --so-pin 12345678 >/dev/null
p11 --keypairgen --key-type EC:prime256v1 --label master --id 01 >/dev/null 2>&1
p11 --read-object --type pubkey --id 01 --output-file public.der >/dev/null 2>&1
openssl pkey -pubin -inform DER -in public.der -out public.pem
certtool --generate-privkey --key-type ecdsa --outfile ca.key 2>/dev/null
printf 'cn = "Site CA"\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 100\n' >ca.tmpl
certtool --generate-self-signed --load-privkey ca.key --template ca.tmpl --outfile ca.pem 2>/dev/null
printf 'cn = "hsm-master"\nip_address = 127.0.0.1\nsigning_key\ntls_www_server\ntls_www_client\nexpiration_days = 90\n' >m.tmpl
certtool --generate-certificate --load-pubkey public.pem --load-ca-certificate ca.pem --load-ca-privkey ca.key --template m.tmpl \
	--outfile m.crt 2>/dev/null
openssl x509 -in m.crt -outform DER -out m.der
p11 --write-object m.der --type cert --label master --id 01 >/dev/null 2>&1

say "master and clone"
printf '8642\n' >pin
make_master m >/dev/null
make_clone c1 >/dev/null
for d in m c1; do kc $d trust add ca.pem >/dev/null; done
uri="pkcs11:token=tls;object=master"

# put URI: into the file, whatever it is
put()
{
	sed -i '/^backup.TLSCertAlias/d' m/keyclone.properties
	printf '%s\n' "backup.TLSCertAlias=$1" >>m/keyclone.properties
}

# says TEXT COMMAND…: refused as a configuration
says()
{
	expect 78 timeout 60 "${@:2}" >err 2>&1
	grep -q -- "keyclone.properties:[0-9]*: backup.TLSCertAlias: .*$1" err || fail "${*:2}: no '$1' in: $(cat err)"
	! grep -q 8642 err || fail "the PIN is shown: $(cat err)"
}

# refused URI TEXT: by config set, which leaves the file as it was; config check; and at start
refused()
{
	cp m/keyclone.properties before
	says "$2" keyclone -c m/keyclone.properties config set backup.TLSCertAlias="$1"
	cmp before m/keyclone.properties || fail "a refused edit changed the file"
	put "$1"
	says "$2" keyclone -c m/keyclone.properties config check
	says "$2" keycloned -c m/keyclone.properties --check
	cp before m/keyclone.properties
}

say "what is wrong is said"
printf '1111\n' >wrong
chmod 644 pin
refused "$uri?pin-source=file:$T/pin" "pin: "
chmod 600 pin
refused "$uri?pin-source=file:$T/wrong" "the PIN in $T/wrong does not open the token tls"
refused "$uri?pin-source=file:$T/none" "$T/none: No such file"
put "$uri"
says 'the token tls asks for a PIN, and neither pin-source nor a credential' keycloned -c m/keyclone.properties --check
kc m config check 2>err >/dev/null # it may be a credential of the service's
grep -q 'warning: .*the token tls asks for a PIN' err || fail "$(cat err)"
cp before m/keyclone.properties
refused "pkcs11:token=elsewhere;object=master?pin-source=file:$T/pin" 'pkcs11:token=elsewhere;object=master: there is no such token'
refused "pkcs11:token=tls;object=none?pin-source=file:$T/pin" 'the token has no certificate of that name'
refused "$uri?pin-source=file:$T/pin&module-path=$T/none.so" "PKCS#11 module $T/none.so: cannot be loaded"
refused "$uri?pin-source=pin" 'not the absolute path'
expect 78 kc m config set backup.TLSCertAlias="$uri?pin-value=8642" 2>err
grep -q 'pin-value is a PIN in the configuration' err || fail "$(cat err)"

say "the token signs for the daemon, as p11-kit finds its module or by name"
for how in "$uri?pin-source=file:$T/pin&module-path=$module" "$uri?pin-source=file:$T/pin"; do
	kc m config set backup.TLSCertAlias="$how" >/dev/null
	[ -n "${DAEMON_PID[c1]:-}" ] || start_daemon c1
	start_daemon m
	grep -q "certificate $uri (SHA-256" m.log || fail "the first line does not name it"
	kc m key generate --count 2 >/dev/null
	kc m replicate-now >/dev/null
	same_keys m c1
	kc m --json status >status || true
	grep -q "\"alias\": *\"$uri\"" status || fail "status does not show it"
	[ "$how" = "$uri?pin-source=file:$T/pin" ] || stop_daemon m
done

say "it is shown and listed, by its name without the query too"
for name in '' "$uri" "$uri?pin-source=file:$T/pin"; do
	# shellcheck disable=SC2086
	kc m --json cert show $name >shown
	python3 -c "import json; j = json.load(open('shown')); assert j['cn'] == 'hsm-master' and j['state'] == 'in use', j
assert j['alias'] == '$uri' and j['has_key'], j" || fail "cert show $name"
done
kc m cert list >out
grep -q '^pkcs11:[^ ]*…[^ ]*  *yes  in use  .* hsm-master ' out || fail "$(cat out)"
mv pin away
expect 65 kc m cert list >out 2>err
grep -q '^pkcs11:[^ ]*  *yes  in use, unreadable  *-' out || fail "$(cat out)"
grep -q '^ssl_cert  *yes  valid' out || fail "$(cat out)"
grep -q 'pin: No such file' err || fail "$(cat err)"
mv away pin

say "and after a reload, when it has to log in again"
kc m reload >/dev/null
kc m key generate --count 1 >/dev/null
kc m replicate-now >/dev/null
same_keys m c1

say "a broken one leaves it in force"
put "pkcs11:token=tls;object=none?pin-source=file:$T/pin"
allow_log 'reload: .*the token has no certificate of that name; the old configuration stays in force'
expect 1 kc m reload 2>err
grep -q 'the token has no certificate of that name' err || fail "$(cat err)"
kc m key generate --count 1 >/dev/null
kc m replicate-now >/dev/null
same_keys m c1
kc m config set backup.TLSCertAlias=ssl_cert >/dev/null
kc m reload >out
grep -q 'certificate ssl_cert' out || fail "reload says: $(cat out)"

say "its PIN may be a credential of systemd's"
stop_daemon m
mkdir credentials
cp pin credentials/keyclone-tls-pin
chmod 440 credentials/keyclone-tls-pin
kc m config set backup.TLSCertAlias="$uri" >/dev/null
CREDENTIALS_DIRECTORY=$T/credentials start_daemon m
kc m key generate --count 1 >/dev/null
kc m replicate-now >/dev/null
same_keys m c1

say "no file has the key, and none can have it"
equal "$(ls m/keystore | grep -v keydb | tr '\n' ' ')" "ssl_cert.crt ssl_cert.key tls.secret "
expect 64 kc m cert export --format p12 --p12-password-file p12pw --output out.p12 2>err
grep -q 'in a PKCS#11 token' err || fail "$(cat err)"
[ ! -e out.p12 ] || fail "a key was exported"
p11 --read-object --type privkey --id 01 --output-file private.der >/dev/null 2>&1 || true
[ ! -s private.der ] || fail "the token gives its key away"

finish
