#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# forks: histories that part. Two masters that push to one clone; a master that was rolled back with its machine; a
# promotion that was killed; a role changed by hand. No clone loses a key, and everybody says what is wrong.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/roles.sh"
begin forks sqlite3 jq

allow_log 'refused|diverged|unreachable|was this machine rolled back|has no effect|failed|is not believed'

make_fleet 2
expect 0 kc m key generate --count 20 >/dev/null
expect 0 kc m replicate-now >/dev/null

say "a second master with the same certificate: the clone stays with its own, and names both"
free_port
keyclone init master --dir m2 --port "$PORT" --password-file pw --site-certificate site.p12 --p12-password-file p12pw \
	>/dev/null
expect 0 kc m2 clone add "127.0.0.1:$(port_of c1)" >/dev/null
expect 0 kc m2 key generate --count 5 >/dev/null
start_daemon m2
wait_for 20 "the second master is refused" is_state m2 "$(port_of c1)" refused
stop_daemon m2
equal "$(rows c1)" 20
jq -r 'select(.event == "peer.refused" and .code == "KC0071E") | .detail' c1/log/replication_audit.log >detail
grep -q "$(lineage_of m | cut -c1-8).*$(lineage_of m2 | cut -c1-8)" detail || fail "not both names: $(cat detail)"

say "a master that was rolled back finds that its clones are ahead"
stop_daemon m
with_twenty=$(basename "$(find m/backups -name 'keyclone-keydb-*.age' | sort | tail -n 1)")
cp -a m m.old
start_daemon m
expect 0 kc m key generate --count 7 >/dev/null
expect 0 kc m replicate-now >/dev/null
equal "$(rows c2)" 27
stop_daemon m
mv m m.lost
mv m.old m
start_daemon m
expect 0 kc m key generate --count 1 >/dev/null
expect 1 kc m replicate-now >/dev/null
kc m --json status >status.json || true
equal "$(jq -r '.clones[].last_error' status.json | grep -c 'rolled back')" 2 "clones that say what is wrong"
equal "$(rows c1) $(rows c2)" "27 27"
stop_daemon m

say "an old backup in an emptied database: the clones are ahead, and keep what they have"
old_backup=m.lost/backups/$with_twenty
rm -rf m
cp -a m.lost m
rm -f m/keydb.sqlite*
expect 0 kc m backup restore "$old_backup" --force --password-file pw >/dev/null
start_daemon m
for name in c1 c2; do
	wait_for 20 "$name is found to be ahead" is_state m "$(port_of "$name")" diverged
done
equal "$(rows m) $(rows c1) $(rows c2)" "20 27 27"
expect 2 kc c2 diverged list >rows.out
equal "$(grep -c '^here' rows.out)" 7 "rows that it is ahead by"
stop_daemon m

say "a promotion that is killed again and again is finished by the next one (forced: it keeps what m lacks)"
before=$(lineage_of c1)
stop_daemon c1
done=
for ((i = 1; i <= 40; i++)); do
	keyclone -c c1/keyclone.properties promote --force --password-file pw >promote.out 2>&1 &
	pid=$!
	sleep "$(printf '0.%03d' $((i * 12)))"
	kill -KILL "$pid" 2>/dev/null || true
	status=0
	wait "$pid" 2>/dev/null || status=$?
	is=$(sqlite3 -readonly c1/state/state.db 'SELECT role FROM self')
	role=$(kc c1 config get replication.role)
	[ "$is" = clone ] || [ "$role" = master ] || fail "the state went before the configuration"
	[ "$status" != 0 ] || done=1
	[ "$is" != master ] || break
done
if [ -z "$done" ] && [ "$is" != master ]; then
	expect 0 kc c1 promote --force --password-file pw >/dev/null
fi
equal "$(kc c1 config get replication.role)" master
equal "$(sqlite3 -readonly c1/state/state.db 'SELECT substr(ancestors, 1, 32) FROM self')" "$before" "parent"
expect 0 kc c1 audit --verify >/dev/null
start_daemon c1
signer=$(kc c1 trust signer --json | jq -r '.signers[] | select(.own) | .key')
expect 0 kc c2 trust signer "$signer" >/dev/null
expect 0 kc c1 replicate-now >/dev/null
same_keys c1 c2
equal "$(rows c2)" 27
stop_daemon c1

say "a role changed by hand does not make a second master of one lineage"
stop_daemon c2
sed -i 's/^replication.role=.*/replication.role=master/' c2/keyclone.properties
printf 'backup.EncryptionPassword=correct horse battery\n' >>c2/keyclone.properties
expect 78 keycloned -c c2/keyclone.properties 2>by-hand.out
grep -q "keyclone promote" by-hand.out || fail "$(cat by-hand.out)"
sed -i 's/^replication.role=.*/replication.role=clone/' c2/keyclone.properties
start_daemon c2
sed -i 's/^replication.role=.*/replication.role=clone/' m/keyclone.properties
expect 78 keycloned -c m/keyclone.properties 2>by-hand.out
grep -q "keyclone demote --master" by-hand.out || fail "$(cat by-hand.out)"

finish
