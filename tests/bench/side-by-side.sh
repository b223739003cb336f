#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# side-by-side.sh [KEYS [CLONES [ROUNDS]]]: how long a full replication takes, beside a pipeline of public tools.
#
# The peer: sqlite3 .backup | zstd -1 | mutual-TLS socat to each replica, which decompresses, syncs and renames. It does not
# verify, sign, encrypt at rest or restore in the live database; it is what people use who want speed. Both run in turn on
# the same data in one run; medians and their ratio are printed. A measurement, not a test: it is never part of `check`.
set -eu
keys=${1:-10000} clones=${2:-20} rounds=${3:-5}
here=${TOP_BUILDDIR:-$PWD}
PATH=$here:$PATH
work=$(mktemp -d /tmp/kc-bench.XXXXXX)
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
cd "$work"
base=${KC_BENCH_PORT:-23000}
now() { date +%s%N; }
median() { sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : int((v[NR / 2] + v[NR / 2 + 1]) / 2)}'; }

# --- keyclone ---
echo 'correct horse battery' >pw
echo 'for the transport' >p12pw
keyclone init master --dir m --port $((base - 1)) --password-file pw >/dev/null
keyclone -c m/keyclone.properties cert export --alias ssl_cert --format p12 --p12-password-file p12pw --output site.p12 >/dev/null
for ((i = 1; i <= clones; i++)); do
	keyclone init clone --dir "c$i" --port $((base + i)) --master 127.0.0.1:$((base - 1)) --site-certificate site.p12 \
		--p12-password-file p12pw >/dev/null
	keyclone -c m/keyclone.properties clone add 127.0.0.1:$((base + i)) >/dev/null
done
keyclone -c m/keyclone.properties key generate --count "$keys" --group bench >/dev/null
for ((i = 1; i <= clones; i++)); do
	keycloned -c "c$i/keyclone.properties" 2>"c$i.log" &
	pids+=($!)
done
for ((i = 1; i <= clones; i++)); do keyclone -c "c$i/keyclone.properties" status >/dev/null; done
keycloned -c m/keyclone.properties 2>m.log &
pids+=($!)
keyclone -c m/keyclone.properties replicate-now >/dev/null

# --- the pipeline ---
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=bench-ca -days 2 2>/dev/null
for n in primary replica; do
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n.key -out $n.csr -subj /CN=$n 2>/dev/null
	openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $n.crt 2>/dev/null
	cat $n.key $n.crt >$n.pem
done
cat >recv.sh <<-'EOF'
	#!/bin/bash
	read -r size
	head -c "$size" | zstd -q -d >"r$1.new" && sync "r$1.new" && mv "r$1.new" "r$1.db" && echo ok
EOF
chmod +x recv.sh
for ((i = 1; i <= clones; i++)); do
	socat -t 900 "OPENSSL-LISTEN:$((base + 100 + i)),bind=127.0.0.1,reuseaddr,fork,cert=replica.pem,cafile=ca.pem,verify=1" \
		"EXEC:./recv.sh $i" 2>>socat.log &
	pids+=($!)
done
send_one() {
	[ "$({ stat -c %s snap.zst; cat snap.zst; } |
		socat -t 900 - "OPENSSL:127.0.0.1:$((base + 100 + $1)),cert=primary.pem,cafile=ca.pem,verify=1,openssl-commonname=replica" 2>>socat.log)" = ok ]
}
pipeline() {
	local waits=()
	sqlite3 m/keydb.sqlite ".backup snap.db" && zstd -q -f -1 snap.db -o snap.zst
	for ((i = 1; i <= clones; i++)); do
		send_one "$i" &
		waits+=($!)
	done
	for p in "${waits[@]}"; do wait "$p"; done
}
for _ in $(seq 50); do
	ss -ltn 2>/dev/null | grep -q ":$((base + 100 + clones)) " && break
	sleep 0.1
done
pipeline

# --- rounds, in turn ---
: >ours; : >theirs
for ((r = 1; r <= rounds; r++)); do
	# A changed row, so that the clones restore.
	keyclone -c m/keyclone.properties key generate --count 1 --group bench >/dev/null
	sync
	t=$(now); keyclone -c m/keyclone.properties replicate-now >/dev/null; echo $((($(now) - t) / 1000000)) >>ours
	sync
	t=$(now); pipeline; echo $((($(now) - t) / 1000000)) >>theirs
done
want=$(sqlite3 m/keydb.sqlite 'SELECT count(*) FROM keys')
for ((i = 1; i <= clones; i++)); do
	[ "$(sqlite3 "c$i/keydb.sqlite" 'SELECT count(*) FROM keys')" = "$want" ] || { echo "clone $i differs"; exit 1; }
	[ "$(sqlite3 "r$i.db" 'SELECT count(*) FROM keys')" = "$want" ] || { echo "replica $i differs"; exit 1; }
done
a=$(median <ours) b=$(median <theirs)
awk -v k="$keys" -v c="$clones" -v a="$a" -v b="$b" -v r="$rounds" 'BEGIN {
	printf "%d keys, %d clones, %d rounds: keyclone %d ms, sqlite3+zstd+socat %d ms, ratio %.2f\n", k, c, r, a, b, a / b }'
[ -z "${KC_BENCH_VERBOSE:-}" ] || { paste ours theirs; keyclone -c m/keyclone.properties audit | tail -n 30; tail -n 5 c1/log/replication_audit.log; }
