#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# check: each thing that it looks at is made wrong once, from both sides, with and without daemons.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin check sqlite3 python3

allow_log '(warning|error): '

check()
{
	local dir=$1

	shift
	STATUS=0
	kc "$dir" check "$@" >check.out 2>check.err || STATUS=$?
	[ "$(awk '{ if (length($0) > m) m = length($0) } END { print m + 0 }' check.out)" -le 200 ] || fail "long lines"
}

# finds DIR OUTCOME TEXT: `check` of DIR has a line with this outcome and text (an expression), and ends with 2.
finds()
{
	check "$1"
	equal "$STATUS" 2 "the exit status of check ($3)"
	tr '\n' ' ' <check.out | sed 's/  */ /g' >flat.out
	grep -q -E "$2 [^>]*$3" flat.out || { cat check.out >&9; fail "$1: no $2 of '$3'"; }
}

is_right()
{
	check "$1"
	[ "$STATUS" = 0 ] || { cat check.out check.err >&9; fail "check of $1 ends with $STATUS"; }
}

make_master m
say "a master alone"
finds m WARN 'no clone is configured'
make_clone c1
CLONE_PORT=$PORT
finds m FAIL 'daemon: no keycloned runs'
finds m FAIL 'clone 127.0.0.1:[0-9]*: connection refused'
finds c1 FAIL 'master 127.0.0.1:[0-9]*: connection refused'

say "a port that somebody else has"
python3 -c "
import socket, time
s = socket.socket(); s.bind(('0.0.0.0', $MASTER_PORT)); s.listen(1); print('there', flush=True); time.sleep(60)" >taken &
HELPERS+=($!)
wait_for 10 "the other program" grep -q there taken
finds m FAIL "own port: port $MASTER_PORT is in use"
end_process "${HELPERS[0]}"

say "files of others, and for others"
chmod 644 m/secrets/seal.key
finds m FAIL 'seal.key has mode 0644'
chmod 600 m/secrets/seal.key
kc m cert request --alias wanted --cn wanted --output wanted.csr >/dev/null
kc m cert revoke 0badcafe >/dev/null
ls m/keystore/wanted.csr m/secrets/authority.crl >/dev/null
finds m ok 'secrets: .* closed to others'
kc m cert remove wanted >/dev/null
mv m/secrets/signing.pub aside
finds m WARN 'signing key: '
mv aside m/secrets/signing.pub
kc m key generate >/dev/null
chmod 646 m/keydb.sqlite
finds m WARN 'keydb.sqlite has mode 0646'
chmod 600 m/keydb.sqlite
if [ "$(id -u)" = 0 ]; then
	# the service is whom the state belongs to
	mkdir -p m/state
	chown -R nobody m
	chown root m/keydb.sqlite m/secrets
	finds m FAIL 'keydb.sqlite belongs to root, the service runs as nobody'
	finds m FAIL 'secrets belongs to root'
	chown nobody m/keydb.sqlite m/secrets
	: >m/keydb.sqlite-wal
	chown root m/keydb.sqlite-wal
	finds m FAIL 'keydb.sqlite-wal belongs to root'
	rm m/keydb.sqlite-wal
	chown -R root m
fi

say "room"
cp m/keydb.sqlite aside
if truncate -s 3T m/keydb.sqlite 2>/dev/null; then
	finds m FAIL 'room for staging: .* free, a replication needs up to'
	finds m FAIL 'room for backups: '
fi
cp aside m/keydb.sqlite

say "trust and certificates"
mv m/truststore aside.d
mkdir -m 700 m/truststore
finds m FAIL 'truststore: no certificate is trusted'
rmdir m/truststore
mv aside.d m/truststore
kc m cert create --alias short --cn 127.0.0.1 --san 127.0.0.1 --days 20 >/dev/null
kc m config set backup.TLSCertAlias=short >/dev/null
finds m WARN 'certificate: short ends at .*, in (19|20) days'
sed -i 's/^backup.TLSCertAlias=.*/backup.TLSCertAlias=none/' m/keyclone.properties
finds m FAIL 'certificate: '
kc m config set backup.TLSCertAlias=ssl_cert >/dev/null

say "a configuration that does not load"
cp m/keyclone.properties aside
echo 'replication.MaxBackupNum=1' >>m/keyclone.properties
finds m FAIL 'configuration: .*replication.MaxBackupNum'
cp aside m/keyclone.properties
sed -i -e /EncryptionPassword/d m/keyclone.properties
finds m FAIL 'configuration: .*backup.EncryptionPassword: is required'
cp aside m/keyclone.properties
grep -v MasterHost c1/keyclone.properties >aside
cp -p c1/keyclone.properties keep
cat aside >c1/keyclone.properties
finds c1 WARN 'fleet: replication.MasterHost is not set'
cat keep >c1/keyclone.properties

say "without a daemon on this side"
start_daemon c1
finds m FAIL 'daemon: no keycloned runs'
grep -q '^ok    clone 127.0.0.1:[0-9]*: reached, each side lets the other in' check.out || fail "the clone was not reached"
faked=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
if [ -e "$faked" ] && LD_PRELOAD=$faked keyclone --version >/dev/null 2>&1; then
	say "a clock that is an hour off"
	LD_PRELOAD=$faked FAKETIME=+3600s FAKETIME_DONT_FAKE_MONOTONIC=1 finds m WARN 'clone [0-9.:]*: its clock says .*, the one here'
	LD_PRELOAD=$faked FAKETIME=+4000d FAKETIME_DONT_FAKE_MONOTONIC=1 finds m FAIL 'certificate: ssl_cert ended at .*the clock here says'
fi
start_daemon m
kc m replicate-now >/dev/null

say "all is right, from both sides, with daemons, and as JSON"
is_right m
grep -q '^ok    clone .*lineage' <(tr '\n' ' ' <check.out | sed 's/  */ /g; s/ \(ok\|WARN\|FAIL\) /\n\1    /g') || fail "no lineage: $(cat check.out)"
is_right c1
is_right m --clone "127.0.0.1:$PORT"
kc m check --clone 127.0.0.1:1 >/dev/null 2>&1 && fail "a clone that there is none"
kc c1 --json check >check.json
python3 - <<'PY'
import json
j = json.load(open("check.json"))
assert j["ok"] is True, j
assert {"configuration", "daemon", "task", "own port", "certificate", "truststore", "signing key", "folders", "secrets",
        "key database", "room for backups", "room for staging", "way here"} <= {c["check"] for c in j["checks"]}, j
assert all(c["outcome"] == "ok" and c["advice"] is None for c in j["checks"]), j
PY
awk 'length($0) > 80 && !/\//' check.out | grep . && fail "wider than 80 columns"

say "it leaves no trace but a greeting"
# What the master sends after the keys, by itself, is there before records are counted.
system_came()
{
	kc c1 --json audit --event receive.end | grep 'keyclone-system-.*success\|success.*keyclone-system-' >/dev/null
}
wait_for 30 "the system backup" system_came
before=$(kc c1 --json audit | wc -l)
for _ in 1 2 3; do
	check m
	check c1
done
equal "$(kc c1 --json audit | wc -l)" "$before" "records on the clone"
kc m --json audit --failed >audit.out
equal "$(grep -v config.change audit.out || true)" "" "failures on the master"

say "a name that nobody knows, a peer of another authority"
kc m clone add no-such-host.invalid:2222 >/dev/null
kc m reload >/dev/null
finds m FAIL 'clone no-such-host.invalid:2222: the name no-such-host.invalid is not known here'
kc m clone remove no-such-host.invalid:2222 >/dev/null
port=$MASTER_PORT
rm site.p12
make_master other
free_port
keyclone init clone --dir c2 --port "$PORT" --master "127.0.0.1:$port" \
	--site-certificate site.p12 --p12-password-file p12pw >/dev/null
start_daemon c2
kc m clone add "127.0.0.1:$PORT" >/dev/null
kc m reload >/dev/null
finds m FAIL "clone 127.0.0.1:$PORT: .*authority.*KC0304E"
finds c2 FAIL "master 127.0.0.1:$port: .*authority.*KC0304E"
finds c2 WARN 'way here: the master has never connected'
kc m clone remove "127.0.0.1:$PORT" >/dev/null
kc m reload >/dev/null

say "a task that is down, here and there"
kc m stop >/dev/null
finds m FAIL 'task: the replication task is down here'
kc m start >/dev/null
kc c1 stop >/dev/null
there_down()
{
	check m
	tr '\n' ' ' <check.out | sed 's/  */ /g' | grep -q 'FAIL clone [^>]*its replication task is down'
}
wait_for 20 "the clone's task on the master" there_down
kc c1 start >/dev/null

say "a clone that is held"
kc m clone hold "127.0.0.1:$CLONE_PORT" >/dev/null
finds m WARN "clone 127.0.0.1:$CLONE_PORT: it is held"
kc m clone resume "127.0.0.1:$CLONE_PORT" >/dev/null

say "another port than the one that is listened on"
kc m config set replication.MasterListenPort=$((port + 1)) >/dev/null
finds m FAIL "own port: replication.MasterListenPort is $((port + 1)), keycloned listens on $port"
kc m config set replication.MasterListenPort="$port" >/dev/null

say "a clone that has diverged"
sqlite3 c1/keydb.sqlite "UPDATE keys SET alias = 'changed-here'" 2>/dev/null || sqlite3 c1/keydb.sqlite "DELETE FROM keys"
kc m key generate >/dev/null
kc m replicate-now >/dev/null 2>&1 || true
finds c1 FAIL 'this clone has diverged'
finds m FAIL 'clone 127.0.0.1:[0-9]*: it has diverged'

say "a master that was set up anew: another lineage"
stop_daemon m
rm -r m/state
start_daemon m
finds m FAIL 'clone 127.0.0.1:[0-9]*: .*lineage'

finish
