#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# keys: the key commands, as an operator uses them, without a daemon.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin keys openssl sqlite3 python3

make_master m >/dev/null
make_clone c1 >/dev/null

say "generate"
expect 0 kc m key generate --count 3 --alias tape --group LTO
expect 0 kc m key generate --count 2 --alias tape
expect 0 kc m key generate --alias one --activate --algorithm aes-128
expect 73 kc m key generate --alias one 2>err
grep -q 'alias one exists already' err || fail "$(cat err)"
expect 64 kc m key generate --count 0 2>err
expect 64 kc m key generate --algorithm ROT13 2>err
equal "$(kc m key list | tail -n 1)" "6 keys"
equal "$(kc m key list --group LTO | tail -n 1)" "3 keys"
equal "$(kc m key list --state active | tail -n 1)" "1 key"
equal "$(kc m key list --alias tape00000 --json | python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["count"], d["keys"][4]["alias"], d["keys"][4]["state"])')" \
	"5 tape000005 pre-active"
kc m key list | head -n 1 >first # and the program says nothing about the pipe
grep -q UUID first || fail "no heading"

say "import and export, each kind in each format"
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null
openssl genpkey -algorithm ED25519 -out ed.pem
openssl ecparam -name secp384r1 -genkey -out ec.pem 2>/dev/null
printf 'secret\n' >password
openssl pkcs8 -topk8 -in rsa.pem -passout file:password -out encrypted.pem
openssl req -x509 -key ec.pem -subj /CN=imported -days 2 -out crt.pem
openssl x509 -in crt.pem -outform der -out crt.der
head -c 32 /dev/urandom >raw
expect 0 kc m key import rsa.pem --alias rsa
expect 65 kc m key import encrypted.pem 2>err
grep -q 'no password was given' err || fail "$(cat err)"
expect 73 kc m key import encrypted.pem --password-file password 2>err # the same key
grep -q 'stored already' err || fail "$(cat err)"
expect 0 kc m key import ec.pem --alias ec
expect 0 kc m key import ed.pem --alias ed --group keys
expect 0 kc m key import crt.der --kind certificate --alias crt
expect 73 kc m key import crt.pem 2>err
expect 0 kc m key import raw --format raw --alias raw --algorithm HMAC-SHA256
expect 64 kc m key import crt.pem --kind symmetric 2>err
expect 65 kc m key import crt.pem --kind private 2>err
expect 0 kc m key import - --alias stdin --uuid 01234567-89AB-4cde-8f01-23456789abcd <<<00112233445566778899aabbccddeeff
equal "$(kc m key show stdin --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["algorithm"])')" AES-128
equal "$(kc m key export 01234567-89ab-4cde-8f01-23456789abcd)" 00112233445566778899aabbccddeeff
equal "$(kc m key export stdin --format base64)" ABEiM0RVZneImaq7zN3u/w==
kc m key export raw --format raw | cmp - raw
kc m key export crt --format der | cmp - crt.der
kc m key export crt | cmp - crt.pem
for name in rsa ec ed; do
	equal "$(kc m key export "$name" | openssl pkey -pubout)" "$(openssl pkey -in "$name.pem" -pubout)" "public key of $name"
done
expect 0 kc m key export raw --output out
equal "$(stat -c '%a %s' out)" "600 65"
expect 73 kc m key export raw --output out 2>err
equal "$(stat -c '%a %s' out)" "600 65"

say "the life of a key"
expect 77 kc m key set-state one destroyed 2>err
grep -q 'key one is active: it cannot become destroyed' err || fail "$(cat err)"
expect 77 kc m key destroy one 2>err
expect 64 kc m key set-state one finished 2>err
expect 0 kc m key set-state one DEACTIVATED
expect 0 kc m key destroy one
expect 1 kc m key export one 2>err
grep -q 'its material is gone' err || fail "$(cat err)"
expect 0 kc m key set-state tape000001 compromised
expect 0 kc m key destroy tape000001
equal "$(kc m key list --state destroyed-compromised | tail -n 1)" "1 key"
expect 1 kc m key show nobody 2>err

say "a clone's keys are its master's"
for command in "generate" "import raw" "set-state x active" "destroy x"; do
	# shellcheck disable=SC2086
	expect 77 kc c1 key $command 2>err
	grep -q "127.0.0.1:$MASTER_PORT" err || fail "the master is not named: $(cat err)"
done
equal "$(kc c1 key list | tail -n 1)" "0 keys"

say "the audit log has each change and each export, and no material"
equal "$(kc m audit --event key --json | grep -c '"event":"key.generate","outcome":"success"')" 3
kc m audit --event key.export --json >exports
grep -q '01234567-89ab-4cde-8f01-23456789abcd' exports || fail "the export is not recorded"
grep -q -e 00112233445566778899aabbccddeeff -e ABEiM0RVZneImaq7zN3u m/log/* && fail "material in the audit log"
expect 0 kc m audit --verify

say "wrong master key file, tampered row"
cp m/keystore/keydb.key keydb.key
printf '1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n' >m/keystore/keydb.key
expect 65 kc m key export raw 2>err
printf '2 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n' >m/keystore/keydb.key
expect 65 kc m key export raw 2>err
grep -q 'master key 1' err || fail "$(cat err)"
{ cat keydb.key && printf '2 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n'; } >m/keystore/keydb.key
expect 0 kc m key generate --alias newer
kc m key export raw --format raw | cmp - raw
sqlite3 m/keydb.sqlite "UPDATE keys SET material = (SELECT material FROM keys WHERE alias = 'newer') WHERE alias = 'raw'"
expect 65 kc m key export raw 2>err
chmod 644 m/keystore/keydb.key
expect 77 kc m key export newer 2>err
chmod 600 m/keystore/keydb.key

say "somebody else's database"
sqlite3 other.sqlite 'CREATE TABLE managed_objects (uid INTEGER PRIMARY KEY)'
expect 0 kc m config set keydb.Path="$T/other.sqlite"
expect 65 kc m key list 2>err
grep -q 'not a built-in key database' err || fail "$(cat err)"
expect 65 kc m key generate 2>err
equal "$(sqlite3 other.sqlite 'SELECT count(*) FROM sqlite_schema')" 1

finish
