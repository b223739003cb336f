#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# successor: every machine has a certificate of its own, of the installation's authority, and the clones have pinned
# their master's host. The promoted clone issues itself a master's certificate, and the others take it for the master's
# successor; a master elsewhere of their own lineage they do not.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/roles.sh"
begin successor sqlite3 jq openssl

allow_log 'refused|unreachable|has no effect|is for another host|cannot be told'

# issue NAME ROLE SAN: a key and a certificate of the authority of master m
issue()
{
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$1" -out "$1.csr" \
		2>/dev/null
	cat >"$1.ext" <<-EOF
		subjectAltName=URI:urn:keyclone:role:$2,$3
		extendedKeyUsage=clientAuth,serverAuth
		keyUsage=digitalSignature
		basicConstraints=critical,CA:FALSE
	EOF
	openssl x509 -req -in "$1.csr" -CA m/secrets/authority.crt -CAkey m/secrets/authority.key \
		-passin file:m/secrets/authority.secret -CAcreateserial -CAserial serial -days 300 -extfile "$1.ext" -out "$1.crt" \
		2>/dev/null
}

use()
{
	expect 0 kc "$1" cert import --alias own --key "$2.key" "$2.crt" >/dev/null
	expect 0 kc "$1" config set backup.TLSCertAlias=own >/dev/null
}

make_master m
for name in c1 c2; do
	make_clone "$name" >/dev/null
	expect 0 kc "$name" config set replication.MasterHost=old.example >/dev/null
	issue "$name" clone "IP:127.0.0.1"
	use "$name" "$name"
done
issue master master "DNS:old.example"
use m master
start_daemon c1
start_daemon c2
start_daemon m
expect 0 kc m key generate --count 10 >/dev/null
expect 0 kc m replicate-now >/dev/null
wait_for 20 "a system backup" eval '[ -n "$(find c1/backups -name "keyclone-system-*.age")" ]'

say "a master of the same lineage with a certificate for another host is refused"
stop_daemon m
issue elsewhere master "DNS:elsewhere.example"
expect 0 kc m cert import --alias elsewhere --key elsewhere.key elsewhere.crt >/dev/null
expect 0 kc m config set backup.TLSCertAlias=elsewhere >/dev/null
start_daemon m
wait_for 20 "the clones refuse it" grep -q 'is for another host' c2/log/replication_audit.log
stop_daemon m

say "the promoted one issues itself a master's certificate, and is followed"
expect 0 kc c1 promote --password-file pw >promote.out
grep -q 'trust signer' promote.out && fail "it has another signing key"
wait "${DAEMON_PID[c1]}"
unset "DAEMON_PID[c1]"
equal "$(kc c1 config get backup.TLSCertAlias)" master
free_port
expect 0 kc c1 config set "replication.MasterListenPort=$PORT" >/dev/null
start_daemon c1
expect 0 kc c1 key generate --count 3 >/dev/null
expect 0 kc c1 replicate-now >/dev/null
same_keys c1 c2
grep -q "the master is at .*, port $PORT; replication.MasterHost still says old.example" c2.log ||
	fail "the clone did not take it for the successor"

say "also after a restart, when the clone calls its master"
stop_daemon c2
start_daemon c2
wait_for 20 "the clone knocks at the new master" grep -q 'a clone is there again' c1.log
expect 0 kc c1 key generate --count 1 >/dev/null
expect 0 kc c1 replicate-now >/dev/null
same_keys c1 c2

finish
