# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# functions: what every system test needs. A test begins with
#
#     . "${TOP_SRCDIR:-.}/tests/system/functions.sh"
#     begin NAME TOOL…            a directory of its own, $T, entered; skipped where a TOOL is missing
#
# and ends with `finish`. In between: daemons that end with the test, ports, waiting for conditions (never for time
# alone), comparisons. A test fails when a command in it fails, and when a daemon logged a warning or an error that
# `allow_log` did not announce. On failure the daemons' logs are printed. KEEP=1 leaves the directory behind.

set -eu -o pipefail
umask 077
unset KEYCLONE_CONFIG JOURNAL_STREAM NOTIFY_SOCKET
export LC_ALL=C

TOP_BUILDDIR=${TOP_BUILDDIR:-$PWD}
TOP_SRCDIR=$(realpath "${TOP_SRCDIR:-$PWD}")
export PATH="$TOP_BUILDDIR:$PATH"

exec 9>&2 # where a failure is told, even inside a redirection
T=
declare -A DAEMON_PID=() # name -> process
HELPERS=()		 # other processes that end with the test: HELPERS+=($!)
ALLOWED=()

fail()
{
	printf 'FAILED: %s\n' "$*" >&9
	exit 1
}

skip()
{
	printf 'skipped: %s\n' "$*"
	exit 77
}

say()
{
	printf -- '--- %s\n' "$*"
}

# Processes of ours only, by their number.
end_process()
{
	local pid=$1 i

	kill -TERM "$pid" 2>/dev/null || return 0
	for ((i = 0; i < 400; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

cleanup()
{
	local status=$? name

	trap - EXIT
	set +e
	for name in "${!DAEMON_PID[@]}"; do
		end_process "${DAEMON_PID[$name]}"
	done
	for name in "${HELPERS[@]+"${HELPERS[@]}"}"; do
		end_process "$name"
	done
	if [ "$status" != 0 ] && [ "$status" != 77 ] && [ -n "$T" ]; then
		for name in "$T"/*.log; do
			[ -s "$name" ] && printf '=== %s\n' "${name##*/}" && tail -n 60 "$name"
		done >&2
	fi
	cd /
	if [ -n "$T" ] && [ "${KEEP:-0}" = 0 ]; then
		rm -rf "$T"
	fi
	exit "$status"
}

begin()
{
	local name=$1 tool

	shift
	for tool in "$@"; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
	[ -x "$TOP_BUILDDIR/keyclone" ] && [ -x "$TOP_BUILDDIR/keycloned" ] || fail "$TOP_BUILDDIR: programs are not built"
	T=$(mktemp -d "${TMPDIR:-/tmp}/kc-$name.XXXXXX")
	trap cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	cd "$T"
}

# A regular expression for log lines (warnings, errors) that this test provokes.
allow_log()
{
	ALLOWED+=("$1")
}

check_logs()
{
	local log found args=() expression

	for expression in "${ALLOWED[@]+"${ALLOWED[@]}"}"; do
		args+=(-e "$expression")
	done
	for log in "$T"/*.log; do
		[ -e "$log" ] || continue
		found=$(grep -E ': (warning|error): |AddressSanitizer|runtime error:' "$log" || true)
		if [ -n "$found" ] && [ ${#args[@]} -gt 0 ]; then
			found=$(printf '%s\n' "$found" | grep -v -E "${args[@]}" || true)
		fi
		[ -z "$found" ] || fail "unexpected in ${log##*/}: $found"
	done
}

# Ends all daemons, which have to end well, the master first, which would miss its clones; then looks at their logs.
finish()
{
	local name

	[ -z "${DAEMON_PID[m]:-}" ] || stop_daemon m
	for name in "${!DAEMON_PID[@]}"; do
		stop_daemon "$name"
	done
	check_logs
	say "passed"
}

# Were the programs built with a sanitizer? Then everything takes several times as long.
is_sanitized()
{
	grep -q '^#define KC_WITH_SANITIZER' "$TOP_BUILDDIR/config.h"
}

# Tests that run side by side take ports from blocks of their own, below the range that the kernel gives to clients. A
# block is taken as long as descriptor 8 is open.
PORT_NEXT= PORT_END=
take_ports()
{
	local block dir i

	dir="/tmp/kc-ports.$(id -u)"
	mkdir -p "$dir"
	for ((i = 0; i < 500; i++)); do
		block=$((RANDOM % 110))
		exec 8>"$dir/$block"
		if flock -n 8; then
			PORT_NEXT=$((10000 + block * 200))
			PORT_END=$((PORT_NEXT + 200))
			return 0
		fi
	done
	fail "no free block of ports"
}

# The next port in PORT: nobody listens on it, and it is not given twice.
free_port()
{
	[ -n "$PORT_NEXT" ] || take_ports
	while [ "$PORT_NEXT" -lt "$PORT_END" ]; do
		PORT=$PORT_NEXT
		PORT_NEXT=$((PORT_NEXT + 1))
		(exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null || return 0
	done
	fail "no free port"
}

# pause N: before the N-th look (from 0): short at first, then half a second. Looking costs more than what is looked at.
pause()
{
	local pauses=(0.05 0.05 0.1 0.1 0.2 0.2 0.3 0.3)

	sleep "${pauses[$1]:-0.5}"
}

# wait_for SECONDS WHAT COMMAND…: until the command succeeds.
wait_for()
{
	local deadline=$((SECONDS + $1)) what=$2 n=0

	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || fail "waited in vain: $what"
		pause $((n++))
	done
}

# expect STATUS COMMAND…: the exit status, exactly. Output goes through.
expect()
{
	local wanted=$1 status=0

	shift
	"$@" || status=$?
	[ "$status" = "$wanted" ] || fail "'$*' ended with $status, expected $wanted"
}

equal()
{
	[ "$1" = "$2" ] || fail "${3:-values differ}: '$1' is not '$2'"
}

# keyclone -c DIR/keyclone.properties …, bounded.
kc()
{
	local dir=$1

	shift
	timeout "${KC_TIMEOUT:-240}" keyclone -c "$dir/keyclone.properties" "$@"
}

answers()
{
	local status=0

	kc "$1" status >/dev/null 2>&1 || status=$?
	[ "$status" = 0 ] || [ "$status" = 2 ]
}

# start_daemon DIR [OPTION...]: returns once it answers.
start_daemon()
{
	local dir=$1 deadline=$((SECONDS + 30))

	keycloned -c "$dir/keyclone.properties" "${@:2}" >>"$T/${dir//\//-}.log" 2>&1 8>&- 9>&- &
	DAEMON_PID[$dir]=$!
	until answers "$dir"; do
		kill -0 "${DAEMON_PID[$dir]}" 2>/dev/null || fail "the daemon of $dir ended at its start"
		[ "$SECONDS" -lt "$deadline" ] || fail "the daemon of $dir does not answer"
		sleep 0.05
	done
}

# With SIGTERM; its exit status has to be 0.
stop_daemon()
{
	local dir=$1 pid=${DAEMON_PID[$1]} status=0 i

	unset "DAEMON_PID[$dir]"
	kill -TERM "$pid" 2>/dev/null || fail "the daemon of $dir had ended already"
	for ((i = 0; i < 600; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$pid" 2>/dev/null && fail "the daemon of $dir does not end"
	wait "$pid" || status=$?
	[ "$status" = 0 ] || fail "the daemon of $dir ended with status $status"
}

# make_master DIR, make_clone DIR: configurations on loopback; the clone joins the fleet of master m.
make_master()
{
	printf 'correct horse battery\n' >pw
	printf 'for the transport\n' >p12pw
	free_port
	MASTER_PORT=$PORT
	keyclone init master --dir "$1" --port "$PORT" --password-file pw
	# The test says when; and a password need not be hard to guess here.
	kc "$1" config set backup.OnChange=false backup.KeyDerivationWork=15
	kc "$1" cert export --alias ssl_cert --format p12 --p12-password-file p12pw --output site.p12
}

make_clone()
{
	free_port
	keyclone init clone --dir "$1" --port "$PORT" --master "127.0.0.1:$MASTER_PORT" \
		--site-certificate site.p12 --p12-password-file p12pw
	kc m clone add "127.0.0.1:$PORT"
}

# make_fleet N: master m and clones c1 … cN, started; the master last, so that it finds them.
make_fleet()
{
	local i

	make_master m
	for ((i = 1; i <= $1; i++)); do
		make_clone "c$i"
	done
	for ((i = 1; i <= $1; i++)); do
		start_daemon "c$i"
	done
	start_daemon m
}

# What a key database says: schema and rows, in an order of their own; not the change log, which is a machine's own.
dump()
{
	sqlite3 -readonly -cmd '.timeout 10000' "$1/keydb.sqlite" \
		"SELECT sql FROM sqlite_master WHERE name NOT GLOB 'keyclone_log*' ORDER BY type, name"
	sqlite3 -readonly -quote -cmd '.timeout 10000' "$1/keydb.sqlite" 'SELECT * FROM keys ORDER BY uuid'
}

same_keys()
{
	equal "$(dump "$2" | sha256sum)" "$(dump "$1" | sha256sum)" "the keys of $2 are not those of $1"
}
