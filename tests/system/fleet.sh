# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# fleet: for tests that hurt a fleet: another manager's key database on every machine, short retries, looks at states.
# Sourced behind functions.sh.

# replicas N KEYS: master m and clones c1 … cN, not started, with the database keys.sqlite; on the clones it is empty.
replicas()
{
	local name i

	make_master m >/dev/null
	for ((i = 1; i <= $1; i++)); do
		make_clone "c$i" >/dev/null
	done
	for name in m $(for ((i = 1; i <= $1; i++)); do printf 'c%d ' "$i"; done); do
		configure "$name" keydb.Path=keys.sqlite replication.RetryMin=1s replication.RetryMax=2s
	done
	python3 "$TOP_SRCDIR/tests/system/make-keydb.py" m/keys.sqlite "$2"
}

# configure DIR LINE…
configure()
{
	local dir=$1

	shift
	printf '%s\n' "$@" >>"$dir/keyclone.properties"
}

# change SEED [ROWS]: other keys on the master
change()
{
	python3 "$TOP_SRCDIR/tests/system/make-keydb.py" --change m/keys.sqlite "${2:-100}" "$1"
}

contents()
{
	sqlite3 -readonly -cmd '.timeout 10000' "$1/keys.sqlite" .schema 'SELECT * FROM keys ORDER BY id' 'SELECT * FROM attributes ORDER BY 1, 2' |
		sha256sum
}

# same NAME…: these clones have what the master has
same()
{
	local name

	for name in "$@"; do
		equal "$(contents "$name")" "$(contents m)" "the tables of $name are not those of m"
	done
}

address_of()
{
	printf '127.0.0.1:%s' "$(sed -n 's/^restore.ListenPort=//p' "$1/keyclone.properties")"
}

# field CLONE NAME: of the master's status
field()
{
	{ kc m --json status || true; } | jq -r --arg a "$(address_of "$1")" --arg f "$2" \
		'.clones[] | select("\(.host):\(.port)" == $a) | .[$f]'
}

# field_is CLONE NAME PATTERN: a regular expression
field_is()
{
	[[ $(field "$1" "$2") =~ $3 ]]
}

# becomes CLONE STATE [ERROR]
becomes()
{
	wait_for 60 "$1 becomes $2 (is $(field "$1" state): $(field "$1" last_error))" field_is "$1" state "^$2\$"
	[ $# = 2 ] || field_is "$1" last_error "$3" || fail "$1 is $2 for another reason: $(field "$1" last_error)"
}

# current CLONE: has the newest generation
is_current()
{
	{ kc m --json status || true; } | jq -e --arg a "$(address_of "$1")" \
		'.generation as $g | .clones[] | select("\(.host):\(.port)" == $a) | .state == "current" and .applied == $g' \
		>/dev/null
}

# The newest generation, and that has what the master has now.
has_all()
{
	is_current "$1" && [ "$(contents "$1")" = "$(contents m)" ]
}

catches_up()
{
	wait_for 60 "$1 catches up (is $(field "$1" state): $(field "$1" last_error))" has_all "$1"
}

worker_of()
{
	pgrep -P "${DAEMON_PID[$1]}" -x keyclone-work
}

# audited DIR EVENT OUTCOME PATTERN: such a record is there
audited()
{
	jq -r --arg e "$2" --arg o "$3" 'select(.event == $e and .outcome == $o) | "\(.code) \(.detail)"' \
		"$1/log/replication_audit.log" | grep -E -- "$4" >/dev/null
}

integrity()
{
	equal "$(sqlite3 "$1/keys.sqlite" 'PRAGMA integrity_check')" ok "integrity of $1"
}
