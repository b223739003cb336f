#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# secrets: no key material, password or private key in logs, audit, arguments, environment, backups or temporary files.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin secrets python3 openssl sqlite3

# the sanitizers trace themselves, and keep what was freed
is_sanitized && sanitized=1 || sanitized=0
FIND="$TOP_SRCDIR/tests/system/find_secrets.py"
mkdir tmp hidden
export TMPDIR="$T/tmp"

# needle NAME: the bytes of standard input are a secret
needle()
{
	printf '%s %s\n' "$1" "$(od -An -v -tx1 | tr -d ' \n')" >>hidden/needles
}

say "what is planted is found"
printf 'planted secret \001\002\003\004\005 of some length' | needle planted
mkdir garden
for shift in '' a ab; do
	{ printf '%s' "$shift"; printf 'planted secret \001\002\003\004\005 of some length'; } | base64 -w 0 >"garden/base64$shift"
done
printf 'planted secret \001\002\003\004\005 of some length' | od -An -v -tx1 | tr -d ' \n' >garden/hex
{ head -c 100000 /dev/zero; printf 'planted secret \001\002\003\004\005 of some length'; } >garden/raw
equal "$({ python3 "$FIND" hidden/needles files garden || true; } | sort | tr '\n' ' ')" \
	"garden/base64: planted in base64 garden/base64a: planted in base64 garden/base64ab: planted in base64 garden/hex: planted in hex garden/raw: planted " \
	"planted in files"
printf 'planted argument' | needle argument
printf 'planted variable' | needle variable
(
	exec 5<>garden/nameless
	printf 'planted variable' >&5
	rm garden/nameless
	VARIABLE='planted variable' exec sleep 1000.0 5<&5 9>&- </dev/null
) &
HELPERS+=("$!")
(VARIABLE='planted variable' exec -a 'planted argument' sleep 1000.0 9>&- </dev/null) &
gardener=$!
HELPERS+=("$gardener")
planted()
{
	local found

	found=$(python3 "$FIND" hidden/needles processes $$ || true)
	grep -q 'cmdline: argument' <<<"$found" && grep -q 'environ: variable' <<<"$found" &&
		grep -q 'nameless (deleted): variable' <<<"$found"
}
wait_for 10 "what is planted in processes" planted
if [ "$(id -u)" = 0 ]; then
	found=$(python3 "$FIND" hidden/needles memory "$gardener" || true)
	grep -q ': argument' <<<"$found" || fail "memory is not searched"
fi
for pid in "${HELPERS[@]}"; do
	end_process "$pid"
done
HELPERS=()
rm -r garden hidden/needles

make_master m
make_clone c1
printf 'correct horse battery' | needle password
printf 'for the transport' | needle transport-password
printf 'AGE-SECRET-KEY-' | needle age-identity
for label in '' 'EC ' 'RSA ' 'OPENSSH '; do
	printf -- '-----BEGIN %sPRIVATE KEY-----' "$label" | needle private-key
done
cut -d ' ' -f 2 m/keystore/keydb.key | base64 -d | needle master-key
for name in m c1; do
	needle "seal-key-of-$name" <"$name/secrets/seal.key"
	head -c 64 "$name/keystore/tls.secret" | needle "tls-secret-of-$name"
done
head -c 64 m/secrets/authority.secret | needle authority-secret

# where these may be: what the operator wrote, the master key file, and the file that was asked for
mv pw hidden/pw
mv p12pw hidden/p12pw

start_daemon c1
start_daemon m

say "keys of every kind"
kc m key generate --count 200 --alias tape --group LTO
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out hidden/key.pem 2>/dev/null
openssl req -x509 -key hidden/key.pem -subj /CN=imported -days 2 -out hidden/crt.pem 2>/dev/null
kc m key import hidden/key.pem --alias imported
kc m key import hidden/crt.pem --alias imported-certificate
printf '000102030405060708090a0b0c0d0e0f%s' a5a5a5a5b6b6b6b6c7c7c7c7d8d8d8d8 >hidden/raw.hex
kc m key import hidden/raw.hex --alias raw
for alias in tape000001 tape000100 tape000200 raw; do
	kc m key export "$alias" --format raw | needle "material-of-$alias"
done
kc m key export imported --format der | tail -c 60 | needle material-of-imported
kc m key export tape000002 --output hidden/exported
equal "$(stat -c %a hidden/exported)" 600 "mode of an exported key"

say "replicate, with a look at the processes all the while"
watch()
{
	while [ -d "$T/hidden" ] && [ ! -e "$T/hidden/stop" ]; do
		python3 "$FIND" hidden/needles processes "${DAEMON_PID[m]}" "${DAEMON_PID[c1]}" >>hidden/seen || true
		python3 "$FIND" hidden/needles files m c1 tmp >>hidden/seen-in-files || true
	done
}
watch &
watcher=$!
HELPERS+=("$watcher")
kc m replicate-now
kc m backup create --output "$T/copy.age"
kc m backup verify "$T/copy.age"
kc m key destroy tape000003
kc m replicate-now
kc c1 key list >/dev/null
touch hidden/stop
wait "$watcher"
equal "$(sort -u hidden/seen)" "" "secrets in arguments or environment"
# at home, and the companion file in its staging folder
expected='^[a-z0-9]*/(keystore/keydb\.key: master-key|\.keyclone/staging/[0-9a-f]*/[^/]*: master-key|secrets/seal\.key: seal-key-of|keystore/tls\.secret: tls-secret-of|secrets/authority\.secret: authority-secret)'
equal "$(grep -v -E "$expected" hidden/seen-in-files | sed '/^$/d' | sort -u)" "" "secrets in files while it ran"

if [ "$(id -u)" = 0 ] && [ "$sanitized" = 0 ]; then
	say "search memory: the daemon has no secret of keys or backups, nor has its starter"
	grep -v -E '^(private-key|transport-password) ' hidden/needles >hidden/memory
	for name in m c1; do
		starter=$(pgrep -P "${DAEMON_PID[$name]}" -x keyclone-start)
		worker=$(pgrep -P "${DAEMON_PID[$name]}" -x keyclone-work)
		equal "$(python3 "$FIND" hidden/memory memory "${DAEMON_PID[$name]}" "$starter" || true)" "" "secrets in memory of $name"
		# the worker: passwords and the keys that seal are out of reach of core dumps
		grep -E '^(password|age-identity|seal-key-of|authority)' hidden/needles >hidden/worker
		equal "$(python3 "$FIND" hidden/worker dumpable "$worker" || true)" "" "dumpable secrets of $name's worker"
	done
fi

say "wrong passwords stay out of messages"
printf 'quite another password\n' >hidden/wrong
printf 'quite another password' | needle wrong-password
expect 65 kc m backup verify "$T/copy.age" --password-file hidden/wrong >wrong.out 2>&1

say "no core files"
for name in m c1; do
	for pid in "${DAEMON_PID[$name]}" $(ps -o pid= --ppid "${DAEMON_PID[$name]}"); do
		grep -q '^Max core file size *0 ' "/proc/$pid/limits" || fail "process $pid of $name may write core files"
	done
done

# One user may look into his own processes: environ is as closed as memory is, and needs no debugger to try.
if [ "$(id -u)" = 0 ] && [ "$sanitized" = 0 ] && command -v setpriv >/dev/null; then
	say "not even a process of the same user looks in"
	mkdir -m 755 "$T/open"
	install -m 755 "$TOP_BUILDDIR/keyclone" "$TOP_BUILDDIR/keycloned" open/
	chmod 711 "$T"
	other=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	mkfifo -m 666 open/fifo
	install -d -o 65534 -g 65534 open/m
	# a command that waits for a password, and a daemon
	free_port
	printf 'correct horse battery\n' | "${other[@]}" open/keyclone init master --dir "$T/open/m/d" --port "$PORT" --password-file - >/dev/null
	"${other[@]}" open/keycloned -c "$T/open/m/d/keyclone.properties" >open.log 2>&1 9>&- &
	HELPERS+=("$!")
	daemon=$!
	"${other[@]}" open/keyclone -c "$T/open/m/d/keyclone.properties" backup create --output "$T/open/m/x" --password-file open/fifo 9>&- &
	HELPERS+=("$!")
	command=$!
	wait_for 20 "the daemon" test -S open/m/d/run/control.sock
	wait_for 20 "the command" grep -q '^Max core file size *0 ' "/proc/$command/limits"
	for pid in "$daemon" "$command" $(ps -o pid= --ppid "$daemon"); do
		equal "$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$pid/status")" 65534 "user of process $pid"
		[ "$(stat -c %u "/proc/$pid/environ")" = 0 ] || fail "process $pid belongs to its user: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
		if "${other[@]}" cat "/proc/$pid/environ" >/dev/null 2>&1; then
			fail "process $pid can be looked into: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
		fi
		grep -q '^Max core file size *0 ' "/proc/$pid/limits" || fail "process $pid may write core files"
	done
	end_process "$command"
	end_process "$daemon"
	HELPERS=()
	chmod 700 "$T"
fi

say "search the files"
stop_daemon m
stop_daemon c1
places=(m c1 tmp copy.age wrong.out ./*.log)
python3 "$FIND" hidden/needles files "${places[@]}" >hidden/found || true
unexpected=$(grep -v -E "$expected" hidden/found | sed '/^$/d' || true)
equal "$unexpected" "" "secrets in files"
grep -q 'c1/keystore/keydb.key: master-key' hidden/found || fail "the search does not even find the master key"
equal "$(ls -A tmp)" "" "temporary files left behind"
equal "$(find m c1 -name '*.part' -o -path '*/.keyclone/staging/*' | head -n 3)" "" "staging files left behind"

say "modes: only what is public may be read by others, and nothing written"
equal "$(find m c1 -perm /022 | head -n 3)" "" "files that others can write"
equal "$(find m c1 -perm /077 ! -name '*.crt' ! -name '*.pub' ! -name '*.pem' | head -n 3)" "" "files that others can read"

check_logs
say "passed"
