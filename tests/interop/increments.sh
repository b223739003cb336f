#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A full and the increments that build on it open with age, zstd, tar, sha256sum and signify, and become what the master
# has with SQLite's session extension, as FORMAT.md says in section 1; header, members and order are what it says.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "$TOP_SRCDIR/tests/system/fleet.sh"
. "$TOP_SRCDIR/tests/system/chain.sh"
begin interop-increments age zstd tar sha256sum python3 sqlite3 jq
apply=$TOP_BUILDDIR/tests/interop/apply_changeset
[ -x "$apply" ] || skip "$apply is not built"

CLONES=()
sql()
{
	sqlite3 -cmd '.timeout 10000' m/keys.sqlite "$1"
}

# every_row DATABASE: of every table, sqlite_sequence too, in an order of their own
every_row()
{
	local table

	for table in $(sqlite3 -readonly "$1" "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"); do
		printf '%s\n' "$table"
		sqlite3 -readonly -quote "$1" "SELECT * FROM \"$table\"" | sort
	done
}

say "a full and four increments"
replicas 1 500
printf 'first' >token
configure m "replication.File.token=$T/token"
sql "CREATE TABLE used(id INTEGER PRIMARY KEY AUTOINCREMENT, who TEXT UNIQUE, x REAL, y BLOB);
	CREATE TABLE two(a TEXT, b INTEGER, c, PRIMARY KEY(b, a));
	CREATE TABLE deaf(id INTEGER PRIMARY KEY, of INTEGER REFERENCES used(id));
	CREATE TRIGGER noise AFTER INSERT ON two BEGIN DELETE FROM two WHERE a = 'loud'; END;
	INSERT INTO used(who, x, y) VALUES('one', 1.5, x'00ff'), ('two', -0.0, NULL), ('three', 9e99, x'');
	INSERT INTO two VALUES('quiet', 1, NULL), ('quiet', 2, 'x')"
start_daemon m
kc m --json replicate-now >now.json 2>/dev/null || true # the clone is not there
G=1
made()
{
	kc m --json replicate-now >now.json 2>/dev/null || true
	G=$((G + 1))
	equal "$(jq .generation now.json)" "$G" generation
	equal "$(kind_of "$G")" incr "kind of generation $G: $(detail m backup.create "$G")"
	cp m/keys.sqlite "was.$G.sqlite"
	[ ! -e m/keys.sqlite-wal ] || cp m/keys.sqlite-wal "was.$G.sqlite-wal"
}
allow_log 'unreachable'
allow_log 'no such file or directory'
sql "DELETE FROM used WHERE id = 2; UPDATE used SET who = 'tmp' WHERE id = 1; UPDATE used SET who = 'one' WHERE id = 3;
	INSERT INTO used(id, who) VALUES(1000, 'far'); DELETE FROM used WHERE id = 1000; INSERT INTO two VALUES('loud', 1, zeroblob(70000))"
made
sql "UPDATE two SET b = b + 10; INSERT INTO used(who) VALUES('umlaut: ' || char(252) || char(128273)); INSERT INTO deaf VALUES(1, 1001)"
change 5 60
made
sql "DELETE FROM sqlite_sequence; INSERT INTO sqlite_sequence VALUES('used', 77)"
printf 'second' >token
made
change 6 60
sql "UPDATE used SET x = 1e-300, y = 'text in a blob' WHERE id = 1; DELETE FROM deaf"
made
stop_daemon m

# header FILE: how long the age header is, and how its recipient begins
header()
{
	python3 - "$1" <<'PY'
import sys
data = open(sys.argv[1], "rb").read(65536)
at = data.index(b"\n---")
print(data.index(b"\n", at + 1) + 1, data.split(b"\n")[1].decode().split()[1])
PY
}
said=$(sed -n 's/.*the beginning; H is then \([0-9]*\),.*/\1/p' "$TOP_SRCDIR/backup/FORMAT.md")

say "the full"
equal "$(header "$(backup_of 1)")" "150 scrypt" "the header of a full"
mkdir full
python3 "$TOP_SRCDIR/tests/interop/on_tty.py" "$(cat pw)" age -d -o full.tar.zst "$(backup_of 1)"
zstd -qd <full.tar.zst >full.tar
equal "$(tar tf full.tar | tr '\n' ' ')" "manifest.json increments.key keydb.sqlite files/MasterKeyFile/keydb.key files/token/token SHA256SUMS SHA256SUMS.sig " "members"
tar x -C full -f full.tar
equal "$(stat -c '%a %s' full/increments.key)" "600 75"
equal "$(age-keygen -y full/increments.key)" "$(jq -r .increments full/manifest.json)" "the recipient in the manifest"
cp full/keydb.sqlite keydb.sqlite

checked()
{
	(cd "$1" && sha256sum --quiet --strict -c SHA256SUMS)
	if signify=$(command -v signify-openbsd); then
		"$signify" -V -q -p m/secrets/signing.pub -x "$1/SHA256SUMS.sig" -m "$1/SHA256SUMS"
	fi
}
checked full

base=1
for g in 2 3 4 5; do
	say "increment $g"
	equal "$(header "$(backup_of $g)")" "$said X25519" "the header of an increment, and what FORMAT.md says"
	mkdir incr.$g
	age -d -i full/increments.key "$(backup_of $g)" | zstd -qd >incr.tar
	files=
	[ $g != 4 ] || files='files/token/token '
	equal "$(tar tf incr.tar | tr '\n' ' ')" "manifest.json keydb.changeset ${files}SHA256SUMS SHA256SUMS.sig " "members"
	tar x -C incr.$g -f incr.tar
	checked incr.$g
	equal "$(jq -r '"\(.format) \(.kind) \(.generation) \(.base) \(.chain)"' incr.$g/manifest.json)" "3 incremental $g $base 1" "manifest"
	equal "$(jq -r .base_digest incr.$g/manifest.json)" "$(jq -r .database.content_digest "$([ $base = 1 ] && echo full || echo incr.$base)/manifest.json")" "base_digest"
	equal "$(jq -r .changeset incr.$g/manifest.json)" "$(stat -c %s incr.$g/keydb.changeset)" "size of the changeset"
	mapfile -t sequences < <(jq -r '.sequences[] | .table, .value' incr.$g/manifest.json)
	"$apply" keydb.sqlite incr.$g/keydb.changeset "${sequences[@]}"
	every_row keydb.sqlite >ours
	every_row "was.$g.sqlite" >masters
	cmp ours masters || fail "generation $g: $(diff ours masters | head -n 5)"
	for table in used keys two; do
		equal "$(jq -r --arg t $table '.tables[] | select(.name == $t) | .rows' incr.$g/manifest.json)" \
			"$(sqlite3 keydb.sqlite "SELECT count(*) FROM $table")" "rows of $table in the manifest"
	done
	base=$g
done
equal "$(cat incr.4/files/token/token)" second "the companion"
equal "$(sqlite3 keydb.sqlite 'PRAGMA integrity_check')" ok
expect 1 "$apply" keydb.sqlite incr.3/keydb.changeset 2>/dev/null

say "another identity opens none"
age-keygen -o other 2>/dev/null
expect 1 age -d -i other "$(backup_of 2)" >/dev/null 2>&1
finish
