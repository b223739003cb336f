#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# backups: made, listed, verified and restored by hand, without a daemon; what is wrong is named, and nothing is lost.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin backups python3 sqlite3

printf 'correct horse battery\n' >pw
printf 'another password\n' >other
keyclone init master --dir m --password-file pw >init.out
export KEYCLONE_CONFIG=$T/m/keyclone.properties
db=m/keydb.sqlite

# field JSON NAME: a member of an object, or of the only element of a list.
field()
{
	python3 -c 'import json,sys; v=json.load(sys.stdin); v=v[0] if isinstance(v,list) else v; print(v[sys.argv[1]])' "$1"
}
# refused STATUS WORDS COMMAND…: fails so, and says so on standard error.
refused()
{
	local want=$1 words=$2 got=0

	shift 2
	"$@" >out 2>err || got=$?
	[ "$got" = "$want" ] || fail "$*: exit $got instead of $want: $(cat err)"
	grep -q -- "$words" err || fail "$*: not in the message: $words: $(cat err)"
	[ "$(wc -l <err)" = 1 ] || fail "$*: more than one line: $(cat err)"
}
content()
{
	sqlite3 "$1" .dump | grep -v keyclone_log | sort | sha256sum
}

say 'create, list, verify'
keyclone backup list >out
[ "$(wc -l <out)" = 1 ] || fail 'there are no backups yet'
[ "$(keyclone --json backup list)" = '[]' ]
keyclone key generate --count 500 --group LTO >out
keyclone --json backup create >created
name=$(field backup <created)
[ -f "m/backups/$name" ] && [ "$(stat -c %a "m/backups/$name")" = 600 ]
[ "$(field rows <created)" = 500 ]
[ "$(keyclone --json backup list | field backup)" = "$name" ]
keyclone backup verify "$name" >out
grep -q ': good: generation 0' out
[ "$(cd m/backups && keyclone --json backup verify "./$name" | field good)" = True ]
keyclone backup verify --password-file pw "m/backups/$name" >out
keyclone backup create --output here.age --password-file other >out
refused 73 'here.age: exists already' keyclone backup create --output here.age
keyclone backup verify --password-file other here.age >out

say 'bad files'
before=$(content $db)
refused 65 'wrong password' keyclone backup verify here.age
refused 65 'wrong password' keyclone backup restore here.age
size=$(stat -c %s "m/backups/$name")
python3 - "m/backups/$name" "$size" <<'END'
import sys
data = open(sys.argv[1], 'rb').read()
for i in range(0, len(data), max(1, len(data) // 23)):
    bad = bytearray(data)
    bad[i] ^= 4
    open('flip.%d' % i, 'wb').write(bad)
    open('cut.%d' % i, 'wb').write(data[:i])
open('longer.0', 'wb').write(data + b'x')
END
for f in flip.* cut.* longer.0; do
	refused 65 "$f: " keyclone backup restore --password-file pw "$f"
done
refused 65 'init.out: ' keyclone backup verify init.out
refused 1 'no such file' keyclone backup verify nothing.age
keyclone init master --dir foreign --password-file pw >out
keyclone -c foreign/keyclone.properties key generate --count 5 >out
keyclone -c foreign/keyclone.properties backup create --output foreign.age >out
refused 65 'foreign.age: ' keyclone backup restore foreign.age --force
[ "$before" = "$(content $db)" ] || fail 'the database has changed'
[ -z "$(ls -A m/.keyclone/staging)" ] || fail 'something is left in staging'

say 'restore'
sleep 1 # another second in names
keyclone key generate --count 2 --alias extra >out
refused 77 'keydb.sqlite: 2 rows would vanish' keyclone backup restore "$name"
[ "$(grep -c '^  keys uuid=' out)" = 2 ]
[ "$(sqlite3 $db 'select count(*) from keys')" = 502 ]
keyclone backup restore "$name" --discard >out
[ "$before" = "$(content $db)" ] || fail 'not what was backed up'
safety=$(keyclone backup list | awk '$4 == "safety" { print $6 }')
keyclone backup restore "$safety" >out
[ "$(sqlite3 $db 'select count(*) from keys')" = 502 ]
keyclone backup restore "$name" --to new.db >out
[ "$before" = "$(content new.db)" ] || fail 'new.db is not what was backed up'
cmp new.db.MasterKeyFile m/keystore/keydb.key
[ ! -e .keyclone ] || fail 'staging is left beside new.db'

say 'retention and audit'
keyclone config set replication.MaxBackupNum=2 >out
for i in 1 2 3; do
	keyclone key generate >out
	sleep 1
	keyclone backup create >out
done
[ "$(keyclone backup list | awk '$4 == "full"' | wc -l)" = 2 ]
[ "$(keyclone backup list | awk '$4 == "safety"' | wc -l)" = 1 ]
keyclone audit --verify >out
for event in backup.create backup.verify backup.restore backup.delete; do
	keyclone --json audit --event $event >out
	grep -q "\"$event\"" out || fail "no $event in the audit log"
done
finish
