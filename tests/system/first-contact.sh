#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# first-contact: the first lines that anybody types, as the manual has them, in an empty folder.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin first-contact

# Where somebody else has these ports: a network of our own, if we may have one.
for port in 1111 2222; do
	if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
		[ -z "${KC_OWN_NET:-}" ] && command -v ip >/dev/null && unshare --net true 2>/dev/null ||
			skip "port $port is in use on this machine"
		cd / && rmdir "$T"
		KC_OWN_NET=1 exec unshare --net bash -c 'ip link set lo up && exec bash "$0"' \
			"$TOP_SRCDIR/tests/system/first-contact.sh"
	fi
done

# The script starts the master first.
allow_log 'clone 127.0.0.1:2222: unreachable: connection refused'

say "the script"
printf 'correct horse battery\n' > pw ; printf 'for the transport\n' > p12pw
keyclone init master --dir m --port 1111 --password-file pw     # properties, key database, authority, certificate
keyclone -c m/keyclone.properties cert export --alias ssl_cert --format p12 --p12-password-file p12pw --output site.p12
keyclone init clone --dir c1 --port 2222 --master 127.0.0.1:1111 --site-certificate site.p12 --p12-password-file p12pw
keyclone -c m/keyclone.properties clone add 127.0.0.1:2222      # with or without a running daemon
keycloned -c m/keyclone.properties >m.log 2>&1 &
DAEMON_PID[m]=$!
keycloned -c c1/keyclone.properties >c1.log 2>&1 &
DAEMON_PID[c1]=$!
keyclone -c m/keyclone.properties key generate --count 1000 --group LTO
keyclone -c m/keyclone.properties replicate-now                 # 0 when the clone has restored
keyclone -c m/keyclone.properties --json status >status
keyclone -c c1/keyclone.properties key list | tail -n 1 >last
keyclone -c m/keyclone.properties audit >audit
keyclone -c m/keyclone.properties backup list >backups

say "what it showed"
cat status last audit backups
equal "$(cat last)" "1000 keys"
grep -q '"role": *"master"' status || fail "status does not know its role"
grep -q '"state": *"current"' status || fail "the clone is not current"
grep -q 'key.generate' audit || fail "the generation of keys is not audited"
grep -q 'replication.end' audit || fail "the replication is not audited"
grep -q 'keyclone-keydb-.*-full-.*\.tar\.zst\.age' backups || fail "the backup is not listed"
expect 0 keyclone -c m/keyclone.properties audit --verify
expect 0 keyclone -c c1/keyclone.properties audit --verify

say "nothing is ever overwritten"
expect 73 keyclone init master --dir m --port 1111 --password-file pw
expect 73 keyclone init clone --dir c1 --port 2222 --master 127.0.0.1:1111 --site-certificate site.p12 \
	--p12-password-file p12pw

say "the keys of a clone are changed on its master"
expect 77 keyclone -c c1/keyclone.properties key generate 2>refused
grep -q '127.0.0.1:1111' refused || fail "the refusal does not name the master: $(cat refused)"

finish
