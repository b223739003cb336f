#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# system-backup: the master's configuration is kept by its clones, is made anew when something of it changes, tells
# nobody anything without the password, and puts a master back on bare metal.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin system-backup jq sqlite3

systems()
{
	find "$1/backups" -name 'keyclone-system-*-system-*.tar.zst.age' -printf '%T@ %f\n' | sort -n | cut -d ' ' -f 2
}

newest()
{
	systems "$1" | tail -n 1
}

same_systems()
{
	[ -n "$(newest m)" ] && [ "$(newest m)" = "$(newest "$1")" ]
}

# certificates are not always where `init` puts them
make_master m
mkdir elsewhere
mv m/truststore elsewhere/trust
mkdir elsewhere/keys
mv m/keystore/ssl_cert.* m/keystore/tls.secret elsewhere/keys
printf 'keystore.Dir=%s\ntruststore.Dir=%s\n' "$T/elsewhere/keys" "$T/elsewhere/trust" >>m/keyclone.properties
for name in c1 c2; do
	make_clone "$name"
	start_daemon "$name"
done
start_daemon m
kc m key generate --count 7 --group LTO
kc m replicate-now

say "both clones have it, byte for byte, and cannot open it"
for name in c1 c2; do
	wait_for 20 "the system backup on $name" same_systems "$name"
	cmp "m/backups/$(newest m)" "$name/backups/$(newest m)"
done
newest m | grep -Eq '^keyclone-system-[0-9a-f]{8}-[0-9]{10}-system-[0-9]{8}T[0-9]{6}Z\.tar\.zst\.age$' ||
	fail "its name: $(newest m)"
equal "$(stat -c %a "c1/backups/$(newest m)")" 600 "its mode"
printf 'not the password\n' >wrong
expect 65 kc c1 backup verify "$(newest m)" --password-file wrong 2>err
grep -q 'wrong password' err || fail "it says: $(cat err)"
kc c1 backup verify "$(newest m)" --password-file pw | grep -q ': good: system backup ' || fail "it is not proved"
kc c1 backup list | grep -q ' system ' || fail "backup list does not show it"
kc c1 --json audit | jq -s -e 'map(select(.event == "receive.end" and .detail == "system backup" and .outcome == "success")) | length > 0' >/dev/null ||
	fail "no record of it on the clone"

say "nothing new, no new one"
before=$(newest m)
kc m reload >/dev/null
kc m replicate-now >/dev/null 2>&1
# what a clone's first contact pinned belongs into it, too
wait_for 20 "rest" same_systems c1
settled=$(newest m)
kc m reload >/dev/null
kc m key generate >/dev/null
kc m replicate-now >/dev/null 2>&1
equal "$(newest m)" "$settled" "a system backup that nothing called for"

say "something new, a new one, on all clones; few are kept"
for n in 1 2 3 4; do
	kc m config set "replication.RetryMax=${n}m" >/dev/null
	kc m reload >/dev/null
	other_than()
	{
		[ "$(newest m)" != "$1" ] && same_systems c1 && same_systems c2
	}
	wait_for 20 "a new one after change $n" other_than "$settled"
	settled=$(newest m)
done
[ "$settled" != "$before" ] || fail "no new one"
for name in m c1 c2; do
	equal "$(systems "$name" | wc -l)" 3 "how many $name keeps"
done

say "a clone that was away gets it when it is back, and a lost one is sent again"
stop_daemon c2
rm "c2/backups/$settled"
start_daemon c2
wait_for 30 "it is there again" same_systems c2

say "the machine burns down: nothing but the clones is left"
for n in 1 2 3; do
	kc m key generate >/dev/null
	kc m replicate-now >/dev/null
done
equal "$(newest m)" "$settled" "keys alone call for no system backup"
dump m | sha256sum >keys.sum
lineage=$(kc m --json status | jq -r .lineage)
fingerprint=$(openssl x509 -in elsewhere/keys/ssl_cert.crt -outform der | sha256sum)
stop_daemon m
rm -r m elsewhere

say "not without the password, not over something else"
expect 65 keyclone backup restore "c1/backups/$settled" --system --dir m --password-file wrong 2>err
[ ! -e m ] && [ ! -e elsewhere ] || fail "something was made"
mkdir m
: >m/keyclone.properties
expect 73 keyclone backup restore "c1/backups/$settled" --system --dir m --password-file pw 2>err
grep -q 'nothing was changed' err || fail "it says: $(cat err)"
equal "$(find m -mindepth 1)" m/keyclone.properties "what is there"
rm -r m
full=$(find "$T/c1/backups" -name '*-full-*' | sort | tail -n 1)
expect 65 keyclone backup restore "$full" --system --dir m --password-file pw 2>err
grep -q 'not a system backup' err || fail "it says: $(cat err)"

say "back on bare metal"
keyclone backup restore "c1/backups/$settled" --system --dir m --password-file pw >out
grep -q "^The master of lineage ${lineage:0:8} is put back in $T/m" out || fail "it says: $(cat out)"
grep -q "backup restore FILE" out || fail "no next step: $(cat out)"
equal "$(find m elsewhere -type d ! -perm 700)$(find m elsewhere -type f ! -perm 600)" "" "modes"
[ ! -e m/secrets/identity.age ] || fail "it carried an identity"
[ ! -e m/keystore/keydb.key ] || fail "it carried the key database's master key file"
last=$(find "$T/c1/backups" -name 'keyclone-keydb-*' | sort | tail -n 1)
kc m backup restore "$last" >out
equal "$(dump m | sha256sum)" "$(cat keys.sum)" "the keys"
equal "$(openssl x509 -in elsewhere/keys/ssl_cert.crt -outform der | sha256sum)" "$fingerprint" "the certificate"
allow_log "clone 127.0.0.1:[0-9]*: unreachable: connection refused"
start_daemon m
kc m key generate --count 3 --group LTO
kc m replicate-now
for name in c1 c2; do
	same_keys m "$name"
done
equal "$(sqlite3 -readonly c1/keydb.sqlite 'SELECT count(*) FROM keys')" 14 "keys"
[ "$(kc m --json status | jq -r .lineage)" != "$lineage" ] || fail "it goes on in the lineage of which it knows not all"
wait_for 20 "the new master's system backup" same_systems c1
# new keys open: the master key file is the old one
kc m key export "$(sqlite3 -readonly m/keydb.sqlite 'SELECT uuid FROM keys LIMIT 1')" --format raw --output raw.key
finish
