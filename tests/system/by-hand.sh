#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# by-hand: without `init`. The original product's sample files, with other paths, hosts and ports, then what the messages
# ask for, one after the other.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin by-hand sqlite3

free_port
master_port=$PORT
free_port
clone_port=$PORT
mkdir m c1
for pair in m:first-sample-master c1:first-sample-clone; do
	sed -e 's/^replication.BackupDestDir=.*/replication.BackupDestDir=restore/' -e 's/myhost1/localhost/' \
		-e "s/=1111$/=$master_port/" -e "s/=2222$/=$clone_port/" \
		"$TOP_SRCDIR/tests/conf/cases/${pair#*:}.in" >"${pair%:*}/keyclone.properties"
done
allow_log 'the replication task is down'
allow_log 'the backup password has 8 characters'
allow_log "the master's replication task is down"

# asks STATUS TEXT COMMAND…: it ends so, and says what is missing.
asks()
{
	local status=$1 text=$2

	shift 2
	expect "$status" timeout 60 "$@" 2>err
	grep -q -- "$text" err || fail "'$*' does not say '$text': $(cat err)"
}

say "each message says what is missing"
kc m config check 2>err
grep -q 'backup.TLSCertAlias: alias ssl_cert: not in the keystore' err || fail "it says: $(cat err)"
grep -q "keyclone key generate" err || fail "it says: $(cat err)"
asks 78 'alias ssl_cert: not in the keystore' keycloned -c m/keyclone.properties
asks 78 'has no certificate with a private key' keycloned -c c1/keyclone.properties
kc m cert create --alias ssl_cert --cn localhost
asks 1 'keyclone key generate' keycloned -c m/keyclone.properties

say "one certificate for both"
printf 'for the transport\n' >p12pw
kc m cert export --alias ssl_cert --format p12 --p12-password-file p12pw --output site.p12
kc m cert export --alias ssl_cert --output site.pem
kc c1 cert import site.p12 --p12-password-file p12pw >out
grep -q "keyclone trust add .*/c1/keystore/ssl_cert.crt" out || fail "it does not say what is missing: $(cat out)"
kc m trust add site.pem
kc c1 trust add site.pem

say "the first keys begin the key database"
expect 1 kc m key list 2>/dev/null
kc m key generate --count 5 2>err
grep -q 'made .*/m/keydb.sqlite' err || fail "it does not say what it made: $(cat err)"
kc m config check
expect 78 kc m config set keydb.Path=elsewhere.sqlite 2>err
expect 77 kc c1 key generate 2>/dev/null
[ ! -e c1/keydb.sqlite ] || fail "a clone's database comes with its first restore"

say "they replicate"
start_daemon c1
start_daemon m
kc m replicate-now
same_keys m c1
! grep -q 'EncryptionPassword=password' m/keyclone.properties || fail "the password is still readable"

say "also while the task is down, where somebody says so"
kc m stop
kc m key generate
kc m replicate-now >out
grep -q '1 of 1 clones have it' out || fail "it says: $(cat out)"
same_keys m c1
kc m start

finish
