#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# config: check, show, get, set and unset; the password is sealed at first read, and is never shown.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin config

make_master m >/dev/null
f=m/keyclone.properties

say "check"
kc m config check | grep -q 'right for a master'
kc m config check --json | grep -q '"ok": *true'
KEYCLONE_CONFIG=$f keyclone config check >/dev/null
expect 78 keyclone -c missing.properties config check 2>err
grep -q 'missing.properties' err
printf 'replication.role=master\nbogus=1\nreplication.MaxBackupNum=1\n' >wrong.properties
expect 78 keyclone -c wrong.properties config check 2>err
grep -q '^keyclone: wrong.properties:2: bogus: no such property' err || fail "it says: $(cat err)"
grep -q '^keyclone: wrong.properties:3: replication.MaxBackupNum: 1 is out of range, 2 to 1000' err
grep -q '^keyclone: wrong.properties: backup.EncryptionPassword: is required on a master' err
expect 78 keyclone -c wrong.properties key list 2>err

say "the sample files of the original product are right but for paths and hosts"
mkdir s
sed 's/^replication.BackupDestDir=.*/replication.BackupDestDir=backups/' \
	"$TOP_SRCDIR/tests/conf/cases/first-sample-master.in" >s/master.properties
keyclone -c s/master.properties config check 2>err || fail "it says: $(cat err)"
equal "$(grep -c 'has no effect yet' err || true)" 0
keyclone -c "$TOP_SRCDIR/tests/conf/cases/first-sample-clone.in" config check >/dev/null 2>&1

say "what a user cannot reach"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 755 . && chmod 755 m && chmod 644 "$f"
	status=0
	setpriv --reuid=65534 --regid=65534 --clear-groups "$TOP_BUILDDIR/keyclone" -c "$T/$f" config check >out 2>err || status=$?
	# Without a way to the program itself there is nothing to see.
	if [ "$status" = 78 ]; then
		grep -q 'replication.BackupDestDir: .*not writable' err || fail "it says: $(cat err)"
		grep -q 'keydb.Path: ' err || fail "it says: $(cat err)"
	elif [ "$status" != 126 ] && [ "$status" != 127 ]; then
		fail "config check of another user ended with $status: $(cat err)"
	fi
	chmod 700 m && chmod 600 "$f"
fi

say "set keeps comments and order"
cp "$f" before
kc m config set replication.MaxBackupNum=5 >/dev/null
diff before "$f" >difference || true
equal "$(grep -c '^[<>]' difference)" 2 "lines that changed"
kc m config set backup.CompressionLevel=3 tls.AuthorizedCNs='a;b' >/dev/null
equal "$(kc m config get backup.CompressionLevel)" 3
equal "$(kc m config get replication.MaxBackupNum)" 5
kc m config unset backup.CompressionLevel tls.AuthorizedCNs >/dev/null
kc m config set replication.MaxBackupNum=10 >/dev/null
cmp before "$f" || fail "the file is not as it was"
equal "$(stat -c %a "$f")" 600
kc m audit --event config.change --json | grep 'set replication.MaxBackupNum' >/dev/null || fail "it is not audited"

say "wrong edits change nothing"
expect 78 kc m config set replication.MaxBackupNum=1 2>err
grep -q 'out of range' err
expect 78 kc m config set replication.MaxBackupNumm=3 2>err
grep -q 'did you mean replication.MaxBackupNum?' err
expect 64 kc m config set backup.EncryptionPassword=topsecret 2>err
grep -q -- '--password-file' err
expect 64 kc m config set 2>/dev/null
expect 64 kc m config set replication.MaxBackupNum 2>/dev/null
expect 77 kc m config get backup.ObfuscatedEncryptionPassword 2>/dev/null
expect 1 kc m config get replication.ListenAddress 2>/dev/null
cmp before "$f" || fail "a refused edit changed the file"

say "show says everything but secrets"
kc m config show >shown
grep -q '^replication.role=master$' shown
! grep -q "$(sed -n 's/^backup.ObfuscatedEncryptionPassword=//p' "$f" | cut -c 1-20)" shown || fail "the sealed password is shown"
kc m config show --json | grep -q '"backup.CheckFrequency": *"1h"'

say "a plain password is sealed at first read, in its place"
sed -i 's/^backup.ObfuscatedEncryptionPassword=.*/backup.EncryptionPassword=correct horse battery/' "$f"
cp "$f" plain
start_daemon m
! grep -q 'correct horse' "$f" || fail "the password is still readable"
diff plain "$f" >difference || true
equal "$(grep -c '^[<>]' difference)" 2 "lines that changed"
grep -q '^backup.ObfuscatedEncryptionPassword=kc1:' "$f"
! grep -r -q 'correct horse' m || fail "the password is in $(grep -r -l 'correct horse' m)"
stop_daemon m
kc m audit --event password.seal --json | tail -n 1 | grep -q '"outcome": *"success"' || fail "it is not audited"

say "a new password"
sealed=$(grep '^backup.ObfuscatedEncryptionPassword' "$f")
printf 'another password\n' | kc m config set --password-file - >/dev/null
[ "$(grep '^backup.ObfuscatedEncryptionPassword' "$f")" != "$sealed" ] || fail "it is the old one"
kc m config check >/dev/null
mv m/secrets/seal.key aside
expect 78 kc m config check 2>err
grep -q 'backup.ObfuscatedEncryptionPassword' err || fail "it says: $(cat err)"
mv aside m/secrets/seal.key

say "what changed, in JSON"
kc m config set replication.RetryMin=4s --json >out
equal "$(cat out)" '{"changed":["replication.RetryMin"],"restart":[]}'
kc m config unset replication.RetryMin --json | grep -q '"changed":\["replication.RetryMin"\]'
kc m config set --password-file pw --json | grep -q '"changed":\["backup.ObfuscatedEncryptionPassword"\]'

say "a secret can be taken away, where one is not needed"
expect 78 kc m config unset backup.ObfuscatedEncryptionPassword 2>err
grep -q 'is required on a master' err || fail "it says: $(cat err)"

say "a clone's host is enough where it is unique"
for clone in '[::1]:2222' '[::1]:2223' 10.0.0.5:2000; do
	kc m clone add "$clone" >/dev/null
done
expect 64 kc m clone remove ::1 2>err
grep -q 'which port' err || fail "it says: $(cat err)"
kc m clone remove 10.0.0.5 >/dev/null
kc m clone remove '[::1]:2222' >/dev/null
kc m clone remove ::1 >/dev/null
equal "$(kc m clone list)" ""
expect 1 kc m clone remove 10.0.0.5 2>/dev/null

say "a key database that is none"
printf 'no database, whatever its name says\n' >m/text.sqlite
kc m config set keydb.Path=text.sqlite >/dev/null
expect 78 kc m config check 2>err
grep -q 'text.sqlite: not an SQLite database' err || fail "it says: $(cat err)"
kc m config unset keydb.Path >/dev/null

say "a certificate that is not there: set, check and the start agree"
cp "$f" before
# wants TEXT: what the file says now is refused by all three
wants()
{
	local what status

	for what in "keyclone -c $f config check" "keycloned -c $f --check" "keycloned -c $f"; do
		expect 78 timeout 60 $what 2>err
		grep -q "^keycloned\{0,1\}: $T/$f:\{0,1\}[0-9]*: backup.TLSCertAlias: $1" err || fail "$what: $(cat err)"
	done
}
# no_alias TEXT CHANGE…: refused by config, which leaves the file as it was
no_alias()
{
	expect 78 kc m config "${@:2}" 2>err
	grep -q "^keyclone: $T/$f:\{0,1\}[0-9]*: backup.TLSCertAlias: $1" err || fail "config ${*:2} says: $(cat err)"
	cmp before "$f" || fail "a refused edit changed the file"
}
no_alias 'alias nonexistent: not in the keystore' set backup.TLSCertAlias=nonexistent
kc m cert request --alias pending --cn pending.example --output pending.csr >/dev/null
no_alias 'alias pending: not in the keystore' set backup.TLSCertAlias=pending
no_alias 'pkcs11:token=none;object=x: there is no such token' set 'backup.TLSCertAlias=pkcs11:token=none;object=x'
kc m cert create --alias second --cn localhost >/dev/null 2>&1
no_alias 'the keystore .* has 2 aliases with a key (second, ssl_cert) and none is named' unset backup.TLSCertAlias
sed -i '/^backup.TLSCertAlias/d' "$f"
wants 'the keystore .* has 2 aliases with a key'
kc m cert remove second >/dev/null
line=$(grep -n '^backup.TLSCertAlias' before | cut -d: -f1)
for alias in nonexistent pending; do
	sed "s/^backup.TLSCertAlias=.*/backup.TLSCertAlias=$alias/" before >"$f"
	wants "alias $alias: not in the keystore"
	grep -q "$f:$line: " err || fail "not line $line: $(cat err)"
done
# Something else can be set nevertheless, and this be put right.
kc m config set replication.RetryMin=4s >/dev/null
kc m config set backup.TLSCertAlias=ssl_cert >/dev/null
kc m config unset replication.RetryMin >/dev/null
cmp before "$f" || fail "the file is not as it was"

say "a keystore that is not there yet, or not for this user: a warning"
mv m/keystore aside
kc m config set backup.TLSCertAlias=later 2>err >/dev/null
grep -q 'warning: .*backup.TLSCertAlias: alias later: not in the keystore' err || fail "it says: $(cat err)"
mv aside m/keystore
cp before "$f"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	mkdir o && cp "$f" o && chmod 755 m && chown -R 65534:65534 o
	echo "keystore.Dir=$T/m/keystore" >>o/keyclone.properties
	status=0
	setpriv --reuid=65534 --regid=65534 --clear-groups "$TOP_BUILDDIR/keyclone" -c "$T/o/keyclone.properties" config set \
		backup.TLSCertAlias=other >/dev/null 2>err || status=$?
	case $status in
	0) grep -q 'warning: .*backup.TLSCertAlias: .*Permission denied' err || fail "it says: $(cat err)" ;;
	126 | 127) ;;
	*) fail "config set of another user ended with $status: $(cat err)" ;;
	esac
	chmod 700 m
fi

say "a password in a file of its own is held to the same rule"
cp "$f" before
printf 'short\n' >m/short
sed -i '/^backup.Obfuscated/d' "$f"
printf 'backup.EncryptionPasswordFile=short\n' >>"$f"
expect 78 kc m config check 2>err
grep -q 'the password has 5 bytes' err || fail "it says: $(cat err)"
expect 78 timeout 60 keycloned -c "$f" 2>err
grep -q 'the password has 5 bytes' err || fail "it says: $(cat err)"
expect 64 kc m backup create --password-file m/short 2>err
grep -q 'the password has 5 bytes' err || fail "it says: $(cat err)"
cp before "$f"

say "the other syntax"
mkdir x
cat >x/keyclone.cfg <<-END
	replication: { role = "clone"; MaxBackupNum = 3; }; // a clone
END
keyclone -c x/keyclone.cfg config set replication.MasterHost=10.0.0.1 restore.ListenPort=2223 >/dev/null
equal "$(keyclone -c x/keyclone.cfg config get restore.ListenPort)" 2223
equal "$(head -n 1 x/keyclone.cfg)" 'replication: { role = "clone"; MaxBackupNum = 3; MasterHost = "10.0.0.1"; }; // a clone'

finish
