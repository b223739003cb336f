#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# passwords: the backup password is sealed in its place, changes while the daemon runs, comes from a file or a
# credential; older backups keep theirs; nothing readable remains.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin passwords jq sqlite3

make_fleet 1
kc m config set backup.OnChange=false >/dev/null
kc m reload >/dev/null
kc m key generate --count 3
kc m replicate-now --full
printf 'a second password\n' >pw2
printf 'a third password, from a file\n' >pw3
mkdir credentials
printf 'a fourth one, a credential\n' >credentials/backup-secret

# write_plain DIR PASSWORD: as an administrator does it, with an editor
write_plain()
{
	sed -i "s/^backup.ObfuscatedEncryptionPassword=.*/# before the password\n&\nbackup.EncryptionPassword=$2\n# behind the password/" \
		"$1/keyclone.properties"
}

newest_full()
{
	find "$1/backups" -name '*-full-*.age' -printf '%f\n' | sort | tail -n 1
}

audits()
{
	kc "$1" --json audit --event password.seal | jq -s 'flatten | length'
}

# nothing_readable TEXT: not in any file of these folders, whatever it is called
nothing_readable()
{
	local found

	found=$(grep -rlaF -- "$1" m c1 || true)
	equal "$found" "" "the password can be read"
}

first=$(newest_full m)
sealed=$(sed -n 's/^backup.ObfuscatedEncryptionPassword=//p' m/keyclone.properties)

say "a changed plain password replaces the sealed one with reload, and a full is made under it"
records=$(audits m)
began=$(date +%s)
later()
{
	[ "$(date +%s)" -gt "$began" ]
}
wait_for 5 "another second, by which passwords are told apart" later
write_plain m 'a second password'
kc m reload >out
grep -q 'backup.EncryptionPassword' out || fail "reload says: $(cat out)"
grep -q '^# before the password$' m/keyclone.properties && grep -q '^# behind the password$' m/keyclone.properties ||
	fail "comments are gone"
grep -q '^backup.EncryptionPassword' m/keyclone.properties && fail "it is still there in plain"
equal "$(grep -c '^backup.ObfuscatedEncryptionPassword=kc1:' m/keyclone.properties)" 1 "sealed ones"
[ "$(sed -n 's/^backup.ObfuscatedEncryptionPassword=//p' m/keyclone.properties)" != "$sealed" ] || fail "the old one"
equal "$(audits m)" $((records + 1)) "records of the sealing"
nothing_readable 'a second password'
changed()
{
	[ "$(newest_full "$1")" != "$2" ]
}
wait_for 20 "a full under the new password" changed m "$first"
wait_for 20 "the full on the clone" changed c1 "$first"
second=$(newest_full m)
for name in m c1; do
	kc "$name" backup verify "$second" --password-file pw2 >/dev/null
	expect 65 kc "$name" backup verify "$second" --password-file pw 2>/dev/null
	kc "$name" backup verify "$first" --password-file pw >/dev/null
	expect 65 kc "$name" backup verify "$first" --password-file pw2 2>/dev/null
done
kc m backup verify "$second" >/dev/null

say "backup list tells them apart, without opening any"
for name in m c1; do
	kc "$name" --json backup list >list
	jq -e --arg a "$first" --arg b "$second" '
		(map(select(.backup == $a))[0].password_since) as $one | (map(select(.backup == $b))[0].password_since) as $two
		| $one != null and $two != null and $one != $two' list >/dev/null || fail "$name: $(cat list)"
	kc "$name" backup list | grep -q 'PASSWORD SINCE' || fail "no column"
done

say "an older backup is restored with its own password"
kc m backup restore "$first" --to old.sqlite --password-file pw >/dev/null
equal "$(sqlite3 -readonly old.sqlite 'SELECT count(*) FROM keys')" 3 "keys of the older backup"

say "the same password again is no change"
stop_daemon m
write_plain m 'a second password'
start_daemon m
nothing_readable 'a second password'
equal "$(kc m replicate-now >/dev/null; newest_full m)" "$second" "a full that nothing called for"

say "changed while the daemon was down"
stop_daemon m
write_plain m 'correct horse battery'
start_daemon m
wait_for 20 "a full" changed m "$second"
third=$(newest_full m)
kc m backup verify "$third" --password-file pw >/dev/null
kc m replicate-now >/dev/null

say "a file, and what it says later"
cp pw2 m/secret
kc m config unset backup.ObfuscatedEncryptionPassword >/dev/null 2>&1 || true
sed -i 's/^backup.ObfuscatedEncryptionPassword=.*/backup.EncryptionPasswordFile=secret/' m/keyclone.properties
kc m reload >/dev/null
wait_for 20 "a full by the file" changed m "$third"
fourth=$(newest_full m)
kc m backup verify "$fourth" --password-file pw2 >/dev/null
cp pw3 m/secret
kc m reload | grep -q 'backup.EncryptionPassword' || fail "reload says nothing"
wait_for 20 "a full by the file's new content" changed m "$fourth"
fifth=$(newest_full m)
kc m backup verify "$fifth" --password-file pw3 >/dev/null
printf 'short\n' >m/secret
allow_log 'reload: .*at least 8 are needed; the old configuration stays in force'
expect 78 kc m reload 2>err
grep -q 'at least 8 are needed' err || fail "it says: $(cat err)"
kc m key generate >/dev/null
kc m replicate-now >/dev/null
kc m backup verify "$(newest_full m)" --password-file pw3 >/dev/null
cp pw3 m/secret

say "a credential of the service, by its name"
stop_daemon m
sed -i 's/^backup.EncryptionPasswordFile=.*/backup.EncryptionPasswordFile=backup-secret/' m/keyclone.properties
rm m/secret
before=$(newest_full m)
export CREDENTIALS_DIRECTORY="$T/credentials"
start_daemon m
wait_for 20 "a full by the credential" changed m "$before"
kc m backup verify "$(newest_full m)" --password-file credentials/backup-secret >/dev/null
stop_daemon m
unset CREDENTIALS_DIRECTORY
expect 78 keycloned -c m/keyclone.properties --check 2>err
grep -q 'backup.EncryptionPasswordFile' err || fail "it says: $(cat err)"

say "what another product obfuscated is named as such"
sed -i 's/^backup.EncryptionPasswordFile=.*/backup.ObfuscatedEncryptionPassword=4E5A6B7C8D9EAFB0C1D2/' m/keyclone.properties
expect 78 keycloned -c m/keyclone.properties --check 2>err
grep -q 'obfuscated by another product .*backup.EncryptionPassword' err || fail "it says: $(cat err)"
sed -i 's/^backup.ObfuscatedEncryptionPassword=.*/backup.EncryptionPassword=correct horse battery/' m/keyclone.properties

say "what an editor left is found"
cp m/keyclone.properties m/keyclone.properties~
allow_log 'the backup password can be read in .*/keyclone.properties~'
start_daemon m
grep -q "can be read in $T/m/keyclone.properties~" m.log || fail "it says nothing"
rm m/keyclone.properties~
nothing_readable 'correct horse battery'

say "a short one guards the authority badly"
allow_log 'the backup password has 9 characters, and it guards the authority'
write_plain m 'too short'
kc m reload >/dev/null
wait_for 20 "the warning" grep -q 'the backup password has 9 characters' m.log
nothing_readable 'too short'

say "a file that cannot be written is a warning"
if [ "$(id -u)" != 0 ]; then
	stop_daemon m
	write_plain m 'correct horse battery'
	chmod 500 m
	allow_log 'backup.EncryptionPassword stays readable in'
	start_daemon m
	chmod 700 m
fi

say "never as an argument"
expect 64 kc m config set backup.EncryptionPassword=secret-secret 2>err
grep -q -- '--password-file' err || fail "it says: $(cat err)"
kc m replicate-now >/dev/null
finish
