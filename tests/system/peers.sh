#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# peers: bad peers at the door of a running clone, by programs that are not ours, while its master replicates: each is
# refused within its deadline, leaves one audit record with the right code, and disturbs nobody.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
. "${TOP_SRCDIR:-.}/tests/system/fleet.sh"
begin peers sqlite3 python3 jq openssl certtool gnutls-cli

allow_log 'refused 127.0.0.1: |127.0.0.1:[0-9]+: session (ended|refused)|more (within|in)'

replicas 1 5000
bash "$TOP_SRCDIR/tests/pki/make-pki.sh" pki

# The machines get certificates of the authority that the bad peers' come from.
for name in c1 m; do
	role=master
	[ "$name" = m ] || role=clone
	rm -f "$name"/truststore/*
	expect 0 kc "$name" trust add pki/authority.crt >/dev/null
	expect 0 kc "$name" cert import --alias of_pki --key pki/$role.key pki/$role.crt >/dev/null
	sed -i '/^backup.TLSCertAlias/d' "$name/keyclone.properties"
	configure "$name" backup.TLSCertAlias=of_pki
	start_daemon "$name"
done
expect 0 kc m replicate-now >/dev/null
same c1
clone_port=$(sed -n 's/^restore.ListenPort=//p' c1/keyclone.properties)

# A replication all the time: no session of a good peer may notice anything.
(
	i=0
	while [ ! -e stop ]; do
		i=$((i + 1))
		change "$i" 20
		kc m replicate-now >good.out 2>&1 || exit 1
	done
	echo "$i" >good.count
) &
DAEMON_PID[good]=$!

refusals()
{
	jq -r --arg c "$1" 'select(.event == "peer.refused" and .code == $c) | .peer' c1/log/replication_audit.log | wc -l
}

# refused WHAT CODE SECONDS COMMAND…: the peer is sent away within SECONDS, with one record
refused()
{
	local what=$1 code=$2 limit=$3 before started

	shift 3
	before=$(refusals "$code")
	started=$SECONDS
	"$@" >peer.out 2>&1 || true
	[ $((SECONDS - started)) -le "$limit" ] || fail "$what: held on for $((SECONDS - started)) s"
	wait_for 5 "$what: a record with $code ($(jq -r 'select(.event == "peer.refused") | .code' c1/log/replication_audit.log |
		sort | uniq -c | tr '\n' ' '))" eval "[ \$(refusals $code) -gt $before ]"
	equal "$(refusals "$code")" $((before + 1)) "$what: records"
	say "  $what: refused in $((SECONDS - started)) s, $code"
}

# hold CERTIFICATE ALPN [HEX]: a session as long as the clone keeps it, with these bytes first
hold()
{
	timeout 30 python3 - "$clone_port" "$@" <<'PY'
import socket, ssl, sys
port, certificate, alpn = int(sys.argv[1]), sys.argv[2], sys.argv[3]
data = bytes.fromhex(sys.argv[4]) if len(sys.argv) > 4 else b""
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if "1.2" in alpn:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
if certificate != "none":
    context.load_cert_chain("pki/%s.crt" % certificate, "pki/%s.key" % certificate)
if alpn != "none":
    context.set_alpn_protocols([alpn.split()[0]])
s = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
s.sendall(data)
while s.recv(4096):
    pass
PY
}

plain()
{
	timeout 30 python3 - "$clone_port" "$@" <<'PY'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"".join(a.encode() for a in sys.argv[2:]))
while s.recv(4096):
    pass
PY
}

say "at the door of a clone"
refused 'no certificate' KC0301E 5 hold none keyclone/1
refused 'an unknown authority' KC0304E 5 hold wrong-ca keyclone/1
refused 'expired' KC0302E 5 hold expired-master keyclone/1
refused 'not yet valid' KC0303E 5 hold not-yet-master keyclone/1
refused 'the wrong use' KC0306E 5 hold server-only keyclone/1
refused "a stolen clone's, which pushes" KC0307E 5 hold clone2 keyclone/1
# A promoted master may be elsewhere: such a one may say its hello, and goes after it.
hello='{"version":2,"product":"p","role":"master","host":"h","time":1,"signing_key":"RWQ","lineage":"'
hello+="$(sqlite3 -readonly m/state/state.db 'SELECT lineage FROM self')\"}"
hello=$(printf '%08x01%s' ${#hello} "$(printf '%s' "$hello" | od -An -v -tx1 | tr -d ' \n')")
refused 'another host' KC0305E 5 hold wrong-name keyclone/1 "$hello"
refused 'TLS 1.2' KC0309E 5 hold master 'keyclone/1 1.2'
refused 'no ALPN' KC0311E 5 hold master none
refused 'plaintext' KC0310E 5 plain $'GET / HTTP/1.0\r\n\r\n'
refused 'silence' KC0105E 15 plain

say "peers that may speak, and speak nonsense"
# a frame over its limit; a data frame before the hello; a hello that is no JSON
refused 'a frame over its limit' KC0107E 5 hold master keyclone/1 ffffffff01
allowed=$(refusals KC0107E)
hold master keyclone/1 0000000410deadbeef >/dev/null 2>&1 || true
equal "$(refusals KC0107E)" "$allowed" "records of one address within a minute: they are summed up"

say "other programs' words for it"
gnutls-cli --x509cafile pki/authority.crt --alpn keyclone/1 --port "$clone_port" 127.0.0.1 </dev/null >peer.out 2>&1 || true
grep -q -i 'certificate is required\|certificate_required' peer.out || fail "gnutls-cli was not told: $(tail -n 3 peer.out)"

say "a storm"
python3 - "$clone_port" <<'PY'
import socket, sys
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(200)]
for s in held:
    s.close()
PY
lines=$(grep -c 'refused' c1.log || true)
[ "$lines" -lt 60 ] || fail "$lines lines of log for a storm"
[ "$(jq -r 'select(.event == "peer.refused") | .code' c1/log/replication_audit.log | wc -l)" -lt 40 ] ||
	fail "too many audit records"

say "nobody else noticed"
touch stop
wait "${DAEMON_PID[good]}" || fail "a replication beside all that: $(cat good.out)"
unset 'DAEMON_PID[good]'
say "  $(cat good.count) replications went on beside"
expect 0 kc m replicate-now >/dev/null
same c1
equal "$(jq -r 'select(.outcome == "failure") | "\(.event) \(.generation) \(.detail)"' m/log/replication_audit.log)" "" \
	"failures of the master"

say "at the door of the master's pushes: a clone that is none"
allow_log 'clone 127.0.0.1:[0-9]+: (refused|failed|unreachable)'
stop_daemon c1
for what in 'wrong-ca-clone KC0304E' 'expired KC0302E' 'wrong-name-clone KC0305E' 'norole KC0307E' 'client-only KC0306E'; do
	name=${what% *}
	openssl s_server -accept "$clone_port" -cert "pki/$name.crt" -key "pki/$name.key" -alpn keyclone/1 -tls1_3 \
		-Verify 1 -CAfile pki/authority.crt -quiet >server.out 2>&1 </dev/null &
	DAEMON_PID[server]=$!
	change "$RANDOM" 10
	wait_for 20 "$name: a record with ${what#* } ($(field c1 state): $(field c1 last_error))" eval "kc m replicate-now >/dev/null 2>&1
		jq -e -s --arg c '${what#* }' 'any(.event == \"peer.refused\" and .code == \$c)' m/log/replication_audit.log"
	kill "${DAEMON_PID[server]}"
	wait "${DAEMON_PID[server]}" 2>/dev/null || true
	unset 'DAEMON_PID[server]'
	say "  $name: ${what#* }"
done
start_daemon c1
catches_up c1
for name in m c1; do
	expect 0 kc "$name" audit --verify >/dev/null
done
finish
