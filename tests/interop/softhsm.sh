#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The token directory of SoftHSM and a PKCS#12 keystore as companions: a key that pkcs11-tool makes in the master's token signs
# on the clone, and openssl verifies the signature; a key that is deleted on the master is gone on the clone. A login there, by
# which SoftHSM rewrites token.object, is no divergence; a new key is.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin softhsm softhsm2-util pkcs11-tool openssl
module=
for module in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so; do
	[ -e "$module" ] && break
done
[ -e "$module" ] || skip "libsofthsm2.so is not installed"

# p11 WHERE …: pkcs11-tool with the token store of that machine
p11()
{
	local where=$1

	shift
	SOFTHSM2_CONF=$T/$where.conf pkcs11-tool --module "$module" --token-label keys --login --pin 1234 "$@"
}

say "a token with a key, and a keystore, on the master"
make_master m
make_clone c1
mkdir hsm
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$T/hsm" >master.conf
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$T/c1/tokens" >clone.conf
SOFTHSM2_CONF=$T/master.conf softhsm2-util --init-token --free --label keys --pin 1234 --so-pin 12345678
p11 master --keypairgen --key-type EC:prime256v1 --label first --id 01
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -subj /CN=keys -days 2 2>/dev/null
openssl pkcs12 -export -inkey k.pem -in c.pem -passout pass:store -out keys.p12
kc m config set replication.File.Token=../hsm
kc m config set replication.File.Keystore="$T/keys.p12"
kc c1 config set replication.File.Token=tokens
kc c1 config set replication.File.Keystore=keys.p12
kc m key generate --count 2
start_daemon c1
start_daemon m
kc m replicate-now

# signs LABEL ID: on the clone; verified with the public key as the master's token has it
signs()
{
	printf 'what is signed by %s' "$1" >message
	openssl dgst -sha256 -binary message >digest
	p11 clone --sign --mechanism ECDSA --id "$2" --input-file digest --output-file signature --signature-format openssl
	p11 master --read-object --type pubkey --id "$2" --output-file public.der
	openssl pkey -pubin -inform DER -in public.der -out public.pem
	openssl dgst -sha256 -verify public.pem -signature signature message
}

say "the key signs on the clone"
signs first 01

say "so does one that is made later, by itself a change"
before=$(kc m --json status | sed -n 's/.*"generation": *\([0-9]*\).*/\1/p' | head -n 1)
p11 master --keypairgen --key-type EC:prime256v1 --label second --id 02
kc m replicate-now
signs second 02
signs first 01
[ -n "$before" ] || fail "status has no generation"

say "and one that is deleted is gone"
p11 master --delete-object --type privkey --id 01
kc m replicate-now
! p11 clone --list-objects --type privkey | grep -q first || fail "the deleted key is still there"
signs second 02

say "the keystore opens on the clone"
openssl pkcs12 -in c1/keys.p12 -passin pass:store -nodes -nocerts 2>/dev/null | openssl pkey >theirs.pem
openssl pkey -in k.pem >ours.pem
cmp ours.pem theirs.pem
equal "$(stat -c %a c1/keys.p12)" "$(stat -c %a keys.p12)" "its mode"

say "what the token's owner changes on the clone is found"
allow_log 'is not what was last restored'
allow_log 'diverged'
p11 clone --keypairgen --key-type EC:prime256v1 --label theirs --id 03
wait_for 30 "the clone finds it by itself" grep -q 'not what was last restored.*replication.File.Token' c1.log
expect 2 kc c1 diverged list >out
grep -q 'replication.File.Token' out || fail "the list lacks it: $(cat out)"

finish
