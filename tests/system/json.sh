#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# json: with --json every command prints JSON on standard output and nothing else; status and audit have the members
# that were promised, on both roles.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin json python3

shape()
{
	python3 "$TOP_SRCDIR/tests/system/json_shape.py" "$1" || fail "$1: $(cat answer)"
}

# json STATUS DIR COMMAND…: it ends so, and its answer is JSON.
json()
{
	local status=$1

	shift
	expect "$status" kc "$@" --json >answer 2>err </dev/null
	[ -s answer ] || fail "'$*' answered nothing"
	shape any <answer
}

say "without a daemon"
make_master m >/dev/null
make_clone c1 >/dev/null
keyclone --json init clone --dir again --site-certificate site.p12 --p12-password-file p12pw >answer
shape any <answer
for command in "config check" "config show" "config get replication.role" "config set replication.RetryMin=1s" \
	"config unset replication.RetryMin" "clone list" "key generate --count 3 --alias k" "key list" "key show k000001" \
	"key export k000001" "key export k000001 --format raw" "key export k000001 --output material" \
	"key set-state k000001 active" "key destroy k000002" "cert list" "cert show" "cert export" "cert export --format der" \
	"cert export --output crt.pem" "cert create --alias other --cn other" "cert request --alias asked --cn asked" \
	"cert request --alias again --cn again --output again.csr" "cert show again" "cert show again.csr" "cert show crt.pem" \
	"cert remove again" "cert list" "cert list --retired" "trust list" "trust add crt.pem" "trust signer" \
	"backup create --output extra.age" "backup verify extra.age" "backup restore extra.age --to restored.sqlite" \
	"audit --verify" "explain" "explain KC0001E"; do
	# shellcheck disable=SC2086
	json 0 m $command
done
equal "$(kc m key export k000003 --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["material"])')" \
	"$(kc m key export k000003)" "the material"
expect 73 kc m key export k000001 --output material --json >answer 2>err
equal "$(cat answer)" "" "the answer of a failure"

json 2 m backup needed

say "with daemons that have nothing to tell yet"
start_daemon c1
kc c1 status --json >answer
shape status <answer
start_daemon m
wait_for 30 "the first generation" kc m replicate-now

say "with daemons that have"
for dir in m c1; do
	kc "$dir" status --json >answer
	shape status <answer
	kc "$dir" audit --json >answer
	shape audit <answer
	json 0 "$dir" reload
	json 0 "$dir" backup list
	json 0 "$dir" backup needed
	json 0 "$dir" stop
	json 2 "$dir" status
	json 0 "$dir" start
done
kc c1 status --json | grep -q '"rows": *3' || fail "the clone does not know its rows"
json 0 c1 diverged list
json 0 m replicate-now
json 0 m replicate-now --full
json 0 m replicate-now --no-wait
json 0 m clone remove "$(kc m clone list)"
json 0 m clone add 127.0.0.1:9

say "a master remembers its rows over a restart, and a check beside it leaves no trace"
stop_daemon m
kc m clone remove 127.0.0.1:9 >/dev/null
rm -f m.log
start_daemon m
kc m status --json >answer
shape status <answer
grep -q '"rows": *3' answer || fail "the rows are forgotten: $(cat answer)"
head -n 1 m.log | grep -q 'is up: role master' || fail "the first line is: $(head -n 1 m.log)"
# The clone that was removed makes a new full, and the system backup is looked at, which may still be under way.
traces() { kc m audit --json | jq -s 'map(select(.event | test("^(replication|backup|push)") | not)) | length'; }
before=$(traces)
expect 0 keycloned -c m/keyclone.properties --check
equal "$(traces)" "$before" "audit records"

say "no backup of the built-in database without its master key file"
mv m/keystore/keydb.key aside
expect 1 kc m backup create 2>err
grep -q 'keydb.key is missing' err || fail "it says: $(cat err)"
expect 78 kc m config check 2>err
grep -q 'keydb.MasterKeyFile' err || fail "it says: $(cat err)"
mv aside m/keystore/keydb.key

finish
