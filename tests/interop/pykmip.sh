#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A real KMIP server (PyKMIP) on both sides: its database is replicated while it serves and makes keys, and the server on the
# clone serves the new key without a restart. As root the servers run as another user than keyclone, with the database in a
# set-gid folder of a common group; a database that only its owner may open is refused at start.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin pykmip pykmip-server openssl sqlite3 /usr/bin/python3
/usr/bin/python3 -c 'import kmip' 2>/dev/null || skip "python3-pykmip is not installed"
umask 022
chmod 755 "$T"
client="$TOP_SRCDIR/tests/interop/pykmip_client.py"
allow_log 'unreachable: connection refused'

as_kmip() { "$@"; }
as_keyclone() { "$@"; }
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	kmip_uid=61001 keyclone_uid=61002 gid=61000
	as_kmip() { setpriv --reuid $kmip_uid --regid $gid --clear-groups -- "$@"; }
	as_keyclone() { setpriv --reuid $keyclone_uid --regid $gid --clear-groups -- "$@"; }
fi
kc() {
	local dir=$1
	shift
	as_keyclone timeout 120 keyclone -c "$dir/keyclone.properties" "$@"
}

say "certificates of the KMIP world"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=kmip-ca -days 2 2>/dev/null
for n in server client; do
	openssl req -newkey rsa:2048 -nodes -keyout $n.key -out $n.csr -subj /CN=$n 2>/dev/null
	printf 'extendedKeyUsage=%sAuth\nsubjectAltName=IP:127.0.0.1\n' $n >ext
	openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $n.pem 2>/dev/null
done
chmod 644 -- *.key

# start_kmip DIR: a server over DIR/db/kmip.sqlite; its port in KMIP_PORT
start_kmip() {
	local dir=$1

	mkdir -p "$dir/db" "$dir/policy"
	if [ -n "${gid:-}" ]; then
		chown $kmip_uid:$gid "$dir" "$dir/db"
		chmod 2770 "$dir/db"
	fi
	free_port
	KMIP_PORT=$PORT
	cat >"$dir/server.conf" <<-EOF
		[server]
		hostname=127.0.0.1
		port=$PORT
		certificate_path=$T/server.pem
		key_path=$T/server.key
		ca_path=$T/ca.pem
		auth_suite=TLS1.2
		policy_path=$T/$dir/policy
		enable_tls_client_auth=True
		database_path=$T/$dir/db/kmip.sqlite
	EOF
	(umask 007; exec_kmip "$dir") &
	DAEMON_PID[kmip-$dir]=$!
	wait_for 20 "the KMIP server of $dir" bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT"
	# SQLite makes files 0644 at most, whatever the umask: an administrator shares it
	chmod 0660 "$dir/db/kmip.sqlite"
}
exec_kmip() {
	if [ -n "${gid:-}" ]; then
		exec setpriv --reuid $kmip_uid --regid $gid --clear-groups -- pykmip-server -f "$1/server.conf" -l "$T/$1/kmip.out"
	fi
	exec pykmip-server -f "$1/server.conf" -l "$T/$1/kmip.out"
} >/dev/null 2>&1

start_kmip km; master_kmip=$KMIP_PORT
start_kmip kc; clone_kmip=$KMIP_PORT
first=$("$client" "$T" "$master_kmip" create before)

say "keyclone over both databases"
mkdir m1 c1dir
[ -z "${gid:-}" ] || chown $keyclone_uid:$gid . m1 c1dir
printf 'correct horse battery\n' >pw
printf 'for the transport\n' >p12pw
chmod 644 pw p12pw
free_port; mport=$PORT
as_keyclone keyclone init master --dir m1/m --port "$mport" --password-file pw --keydb "$T/km/db/kmip.sqlite" >/dev/null
kc m1/m cert export --alias ssl_cert --format p12 --p12-password-file p12pw --output site.p12 >/dev/null
free_port; cport=$PORT
as_keyclone keyclone init clone --dir c1dir/c --port "$cport" --master "127.0.0.1:$mport" --site-certificate site.p12 \
	--p12-password-file p12pw --keydb "$T/kc/db/kmip.sqlite" >/dev/null
kc m1/m clone add "127.0.0.1:$cport" >/dev/null
run_daemon() {
	if [ -n "${gid:-}" ]; then
		setpriv --reuid $keyclone_uid --regid $gid --clear-groups -- keycloned -c "$1/keyclone.properties" >>"$T/$2.log" 2>&1 &
	else
		keycloned -c "$1/keyclone.properties" >>"$T/$2.log" 2>&1 &
	fi
	DAEMON_PID[$2]=$!
}
run_daemon c1dir/c clone
kc c1dir/c status >/dev/null || [ $? = 2 ]
run_daemon m1/m master
kc m1/m replicate-now

say "the clone's server serves the master's key, without a restart"
equal "$("$client" "$T" "$clone_kmip" get "$first")" "$("$client" "$T" "$master_kmip" get "$first")" "key $first"

say "keys are made while it is replicated"
"$client" "$T" "$master_kmip" create during 60 >made &
maker=$!
rounds=0
while kill -0 $maker 2>/dev/null && [ $rounds -lt 200 ]; do
	kc m1/m replicate-now >/dev/null
	# a reader of the clone's server never sees an error
	"$client" "$T" "$clone_kmip" get "$first" >/dev/null
	rounds=$((rounds + 1))
done
wait $maker
equal "$(wc -l <made)" 60 "keys made"
kc m1/m replicate-now >/dev/null
ids=$(tr '\n' ' ' <made)
# shellcheck disable=SC2086
equal "$("$client" "$T" "$clone_kmip" get $ids)" "$("$client" "$T" "$master_kmip" get $ids)" "the 60 keys"
say "$rounds replications ran meanwhile"
dump() { sqlite3 -readonly "$1/db/kmip.sqlite" .dump | grep -v '^PRAGMA'; }
equal "$(dump kc | sha256sum)" "$(dump km | sha256sum)" "databases"

if [ -n "${gid:-}" ]; then
	say "a database that only its owner may open is refused at start"
	stop_daemon master
	chmod 0600 km/db/kmip.sqlite
	status=0
	as_keyclone keycloned -c m1/m/keyclone.properties >refused 2>&1 || status=$?
	equal "$status" 77 "exit status"
	grep -q 'kmip.sqlite' refused || fail "the message does not name the database: $(cat refused)"
	say "$(tail -n 1 refused)"
	chmod 0660 km/db/kmip.sqlite
	chmod g-s km/db
	status=0
	as_keyclone keycloned -c m1/m/keyclone.properties >refused 2>&1 || status=$?
	equal "$status" 77 "exit status without the set-gid bit"
fi
finish
