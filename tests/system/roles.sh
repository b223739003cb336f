# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# roles: for tests that change who is master: what a machine has, what a master says of a clone, a daemon that ends by
# itself. Sourced behind functions.sh.

# rows DIR: how many keys its database has
rows()
{
	sqlite3 -readonly "$1/keydb.sqlite" 'SELECT count(*) FROM keys'
}

# port_of DIR: where the clone in DIR listens
port_of()
{
	sed -n 's/^restore.ListenPort=//p' "$1/keyclone.properties"
}

lineage_of()
{
	sqlite3 -readonly "$1/state/state.db" 'SELECT lineage FROM self'
}

# state_of DIR PORT: what the master in DIR says of that clone
state_of()
{
	kc "$1" --json status 2>/dev/null | jq -r --argjson p "$2" '.clones[] | select(.port == $p) | .state'
}

# is_state DIR PORT STATE
is_state()
{
	[ "$(state_of "$1" "$2")" = "$3" ]
}

# ended DIR: its daemon ends by itself, with 0
ended()
{
	local pid=${DAEMON_PID[$1]} status=0

	unset "DAEMON_PID[$1]"
	wait "$pid" || status=$?
	equal "$status" 0 "exit status of the daemon of $1"
}
