# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# chain: for tests of increments: which kind a generation is, and what the audit logs say of it. Sourced behind
# functions.sh, and fleet.sh or a function same of the test's own; the test sets CLONES.

G=0 # the newest generation that the test knows of

generation()
{
	{ kc m --json status || true; } | jq .generation
}

# backup_of GENERATION [DIR]: the path of that generation's own backup
backup_of()
{
	local number

	printf -v number '%010d' "$1"
	find "${2:-m}/backups" \( -name "*-$number-full-*.age" -o -name "*-$number-incr-*.age" \) ! -name '*-system-*' | sort | head -n 1
}

# kind_of GENERATION [DIR]
kind_of()
{
	backup_of "$@" | sed -E 's/.*-(full|incr)-[^-]*$/\1/'
}

# detail DIR EVENT GENERATION: of the newest success
detail()
{
	jq -r --arg e "$2" --argjson g "$3" 'select(.event == $e and .outcome == "success" and .generation == $g) | .detail' \
		"$1/log/replication_audit.log" | tail -n 1
}

# What the audit says of the making of generation $G is like this expression.
says()
{
	[[ $(detail m backup.create "$G") =~ $1 ]] ||
		fail "of generation $G the audit says '$(detail m backup.create "$G")', not '$1'"
}

# travels KIND [OPTION…]: a change is replicated so, to everybody, and that is the next generation, $G
travels()
{
	local kind=$1 before=$G

	shift
	kc m --json replicate-now "$@" >now.json 2>&1 || fail "replicate-now: $(cat now.json)"
	G=$(jq .generation now.json)
	equal "$G" $((before + 1)) "generation"
	equal "$(kind_of "$G")" "$kind" "kind of generation $G: $(detail m backup.create "$G")"
	same "${CLONES[@]}"
}

# What there is is replicated already.
nothing_new()
{
	kc m --json replicate-now >now.json 2>&1 || fail "replicate-now: $(cat now.json)"
	equal "$(jq .generation now.json)" "$G" "a generation without a change"
}

# arrives [KIND]: everybody has the newest generation, $G, of whatever number, which is of that kind
arrives()
{
	kc m --json replicate-now >now.json 2>&1 || fail "replicate-now: $(cat now.json)"
	G=$(jq .generation now.json)
	[ $# = 0 ] || equal "$(kind_of "$G")" "$1" "kind of generation $G: $(detail m backup.create "$G")"
	same "${CLONES[@]}"
}
