#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# secrets: no key material, password or private key in logs, audit, arguments, environment, backups or temporary files.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin secrets python3 openssl sqlite3

FIND="$TOP_SRCDIR/tests/system/find_secrets.py"
mkdir tmp hidden
export TMPDIR="$T/tmp"

# needle NAME: the bytes of standard input are a secret
needle()
{
	printf '%s %s\n' "$1" "$(od -An -v -tx1 | tr -d ' \n')" >>hidden/needles
}

make_master m
make_clone c1
printf 'correct horse battery' | needle password
printf 'for the transport' | needle transport-password
printf 'AGE-SECRET-KEY-' | needle age-identity
for label in '' 'EC ' 'RSA ' 'OPENSSH '; do
	printf -- '-----BEGIN %sPRIVATE KEY-----' "$label" | needle private-key
done
cut -d ' ' -f 2 m/keystore/keydb.key | base64 -d | needle master-key

# where these may be: what the operator wrote, the master key file, and the file that was asked for
mv pw hidden/pw
mv p12pw hidden/p12pw

start_daemon c1
start_daemon m

say "keys of every kind"
kc m key generate --count 200 --alias tape --group LTO
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out hidden/key.pem 2>/dev/null
openssl req -x509 -key hidden/key.pem -subj /CN=imported -days 2 -out hidden/crt.pem 2>/dev/null
kc m key import hidden/key.pem --alias imported
kc m key import hidden/crt.pem --alias imported-certificate
printf '000102030405060708090a0b0c0d0e0f%s' a5a5a5a5b6b6b6b6c7c7c7c7d8d8d8d8 >hidden/raw.hex
kc m key import hidden/raw.hex --alias raw
for alias in tape000001 tape000100 tape000200 raw; do
	kc m key export "$alias" --format raw | needle "material-of-$alias"
done
kc m key export imported --format der | tail -c 60 | needle material-of-imported
kc m key export tape000002 --output hidden/exported
equal "$(stat -c %a hidden/exported)" 600 "mode of an exported key"

say "replicate, with a look at the processes all the while"
watch()
{
	while [ -d "$T/hidden" ] && [ ! -e "$T/hidden/stop" ]; do
		python3 "$FIND" hidden/needles processes "${DAEMON_PID[m]}" "${DAEMON_PID[c1]}" >>hidden/seen || true
	done
}
watch &
watcher=$!
HELPERS+=("$watcher")
kc m replicate-now
kc m backup create --output "$T/copy.age"
kc m backup verify "$T/copy.age"
kc m key destroy tape000003
kc m replicate-now
kc c1 key list >/dev/null
touch hidden/stop
wait "$watcher"
equal "$(sort -u hidden/seen)" "" "secrets in arguments or environment"

say "wrong passwords stay out of messages"
printf 'quite another password\n' >hidden/wrong
printf 'quite another password' | needle wrong-password
expect 65 kc m backup verify "$T/copy.age" --password-file hidden/wrong >wrong.out 2>&1

say "no core files"
for name in m c1; do
	for pid in "${DAEMON_PID[$name]}" $(ps -o pid= --ppid "${DAEMON_PID[$name]}"); do
		grep -q '^Max core file size *0 ' "/proc/$pid/limits" || fail "process $pid of $name may write core files"
	done
done

say "search the files"
stop_daemon m
stop_daemon c1
places=(m c1 tmp copy.age wrong.out ./*.log)
python3 "$FIND" hidden/needles files "${places[@]}" >hidden/found || true
# the one place for the master key, on both machines
unexpected=$(grep -v -E '^(m|c1)/keystore/keydb\.key: master-key' hidden/found | sed '/^$/d' || true)
equal "$unexpected" "" "secrets in files"
grep -q 'c1/keystore/keydb.key: master-key' hidden/found || fail "the search does not even find the master key"
equal "$(ls -A tmp)" "" "temporary files left behind"
equal "$(find m c1 -name '*.part' -o -path '*/.keyclone/staging/*' | head -n 3)" "" "staging files left behind"

say "modes: only what is public may be read by others, and nothing written"
equal "$(find m c1 -perm /022 | head -n 3)" "" "files that others can write"
equal "$(find m c1 -perm /077 ! -name '*.crt' ! -name '*.pub' ! -name '*.pem' | head -n 3)" "" "files that others can read"

check_logs
say "passed"
