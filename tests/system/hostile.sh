#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hostile: peers with a valid certificate that mean ill. Clones that do must not hold up the others; a master that does
# must not change anything on a clone. Neither may write to anybody's terminal.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/fleet.sh"
begin hostile sqlite3 python3 jq openssl

allow_log 'clone 127.0.0.1:[0-9]+: (unreachable|failed|refused|diverged): '
allow_log 'generation [0-9]+ (is not restored|of 127.0.0.1:[0-9]+)'
allow_log 'clone 127.0.0.1:[0-9]+ warns: '
allow_log 'the recipient of'

HOSTILE="$TOP_SRCDIR/tests/system/hostile.py"
export PYTHONDONTWRITEBYTECODE=1

replicas 1 2000
openssl pkcs12 -in site.p12 -passin file:p12pw -nodes -out site.pem 2>/dev/null

# evil_clone HOW: one more clone in the fleet, not ours
evil_clone()
{
	free_port
	python3 "$HOSTILE" clone site.pem site.pem "$PORT" "$1" >>"evil-$1.out" 2>&1 9>&- &
	HELPERS+=("$!")
	EVIL[$1]=127.0.0.1:$PORT
	wait_for 10 "clone $1" bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT"
	kc m clone add "127.0.0.1:$PORT" >/dev/null
}
declare -A EVIL=()

# status ends with 2 as long as something is wrong, which here it is
generation_of_m()
{
	{ kc m --json status || true; } | jq -r .generation
}
applied_by()
{
	{ kc m --json status || true; } | jq -r --arg a "$1" '.clones[] | select("\(.host):\(.port)" == $a) | .applied'
}
has_newest()
{
	[ "$(applied_by "$(address_of "$1")")" = "$(generation_of_m)" ]
}
say "a clone among clones that hold on, lie, leave, name impossible identities"
for how in silent leaves garbage-recipient low-order ugly liar swaps slow; do
	evil_clone "$how"
done
start_daemon c1
start_daemon m
before=$SECONDS
for round in 1 2 3; do
	change "$round"
	kc m replicate-now --no-wait >/dev/null
	wait_for 20 "generation of round $round" bash -c "[ \$(sqlite3 -readonly m/state/state.db 'SELECT complete FROM self') -gt $round ]"
	wait_for 20 "round $round at c1" has_newest c1
	same c1
done
[ $((SECONDS - before)) -lt 50 ] || fail "the honest clone waited $((SECONDS - before)) s for the others"

say "what is said of them"
state_of_evil()
{
	{ kc m --json status || true; } | jq -r --arg p "${EVIL[$1]##*:}" '.clones[] | select(.port == ($p | tonumber)) | .'"$2"
}
says()
{
	state_of_evil "$1" last_error | grep -q -E -- "$2"
}
wait_for 30 "garbage-recipient" says garbage-recipient 'no identity that backups can be encrypted for'
wait_for 30 "low-order" says low-order 'X25519|recipient|identity'
wait_for 30 "swaps" says swaps 'another identity than the one pinned'
wait_for 30 "liar" says liar 'not allowed in state offered'
wait_for 30 "ugly" says ugly 'owned'
for how in silent leaves liar swaps low-order garbage-recipient; do
	equal "$(state_of_evil "$how" applied)" 0 "generation that $how has applied"
done
equal "$(grep -c . m/secrets/recipients)" "$(cut -d ' ' -f 2 m/secrets/recipients | sort -u | grep -c .)" "pins of one clone"

say "one that leaves at each offer does not fill the audit log"
wait_for 20 "its pause" test "$(kc m audit --json --clone "${EVIL[leaves]}" --event push.start | wc -l)" -gt 2
first=$(kc m audit --json --clone "${EVIL[leaves]}" --event push.start | wc -l)
sleep 4
second=$(kc m audit --json --clone "${EVIL[leaves]}" --event push.start | wc -l)
[ $((second - first)) -le 5 ] || fail "$((second - first)) attempts within 4 s"

say "a worker believes the daemon once: another identity for a known clone is refused"
for how in swaps silent; do
	grep -q " ${EVIL[$how]}\$" m/secrets/recipients || [ "$how" = silent ] || fail "no pin of $how"
done
kc m clone remove "${EVIL[swaps]}" >/dev/null
wait_for 20 "the pin to go" bash -c "! grep -q ' ${EVIL[swaps]}\$' m/secrets/recipients"

say "nobody's terminal was written to"
ugly_bytes()
{
	LC_ALL=C grep -l -a -P '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]' "$@" || true
}
kc m status >status.out || true
kc m audit >audit.out
kc c1 audit >>audit.out
equal "$(ugly_bytes status.out audit.out m.log c1.log m/log/* c1/log/*)" "" "escape sequences in"

say "a hostile master"
allow_log 'the clock of the master is [0-9]+ days behind this one'
stop_daemon m
lineage=$(sqlite3 -readonly c1/state/state.db 'SELECT lineage FROM self')
generation=$(sqlite3 -readonly c1/state/state.db 'SELECT generation FROM self')
signer=$(sed -n '2p' m/secrets/signing.pub)
contents c1 >before
port=$(address_of c1)
# evil_master HOW PATTERN
evil_master()
{
	timeout 60 python3 "$HOSTILE" master site.pem site.pem "${port##*:}" "$1" "$signer" "$lineage" \
		"$((generation + 1))" >"evil-$1.out" 2>&1 || true
	grep -q -E -- "$2" "evil-$1.out" || fail "$1: $(cat "evil-$1.out")"
}
evil_master older 'decline stale'
evil_master other-lineage 'decline foreign'
evil_master foreign-hello 'error .*KC_EFOREIGN'
evil_master no-room 'decline no-space'
evil_master big-system 'decline failed .*larger than a system backup'
evil_master unsigned 'result  failed'
equal "$(find c1/backups -name 'keyclone-evil-*')" "" "a file that is no backup"
evil_master lying-sum 'result  failed KC_EDAMAGED'
evil_master lying-size 'result  failed KC_ETRUNCATED'
evil_master too-much 'result  failed KC_ELIMIT'
for how in traversal absolute hidden control long empty nul big-header deep-json over-limit out-of-order ugly-hello; do
	evil_master "$how" 'error .*KC_EPROTO|closed'
done
evil_master state 'decline failed'
evil_master greedy 'decline|error|closed'
contents c1 >after
cmp before after || fail "the tables changed"
equal "$(find "$T" -newer before -name 'escaped*' -o -name '.ssh')" "" "files that a master placed"
equal "$(find c1/backups -type f ! -name 'keyclone-*-full-*.tar.zst.age' ! -name 'keyclone-*-incr-*.tar.zst.age' ! -name 'keyclone-system-*.tar.zst.age' ! -name '*.part')" "" "strange files"
[ "$(kc c1 audit --json --event receive.end | wc -l)" -lt 100 ] || fail "a master filled the audit log"
kc c1 audit --verify >/dev/null
kc c1 audit >audit.out
equal "$(ugly_bytes audit.out c1.log c1/log/*)" "" "escape sequences in"

say "and the honest one goes on"
start_daemon m
change 9
kc m replicate-now --no-wait >/dev/null
caught_up()
{
	has_newest c1 && [ "$(contents c1)" = "$(contents m)" ]
}
wait_for 20 "c1 to catch up" caught_up

say "a master that was rolled back, and makes the same generations again"
for how in "${!EVIL[@]}"; do
	[ "$how" = swaps ] || kc m clone remove "${EVIL[$how]}" >/dev/null
done
stop_daemon m
cp -a m rolled-back
start_daemon m
change 20
expect 0 kc m replicate-now >/dev/null
wait_for 20 "c1 to catch up" has_newest c1
stop_daemon m
contents c1 >before
rm -r m
mv rolled-back m
start_daemon m
refuses()
{
	{ field c1 last_error || true; } | grep -q -E 'was this machine rolled back'
}
wait_for 20 "a clone that is ahead" refuses
for round in 1 2 3; do
	change "3$round"
	kc m replicate-now --no-wait >/dev/null
	wait_for 20 "generation of round $round" bash -c "[ \$(sqlite3 -readonly m/state/state.db 'SELECT complete FROM self') -ge $((generation + 1 + round)) ]"
	sleep 1
	refuses || fail "round $round: $(field c1 state), $(field c1 last_error)"
done
contents c1 >after
cmp before after || fail "the tables of the clone changed"
finish
