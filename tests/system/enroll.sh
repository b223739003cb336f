# SPDX-License-Identifier: Apache-2.0
# Enrolment: two commands from nothing to a working clone, and what a token is not good for: a second use, a second
# master, a time after its end, another's clone. A clone that joins again keeps data and place.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin enroll jq openssl sqlite3

# token [OPTION…]: a fresh one in `tok`.
token()
{
	kc m enroll token --master "127.0.0.1:$MASTER_PORT" "$@" >tok 2>said
}

# join FOLDER [OPTION…]: with `tok`; what it says in `out` and `err`.
join()
{
	timeout 60 keyclone enroll join --dir "$@" - <tok >out 2>err
}

# refused PATTERN JOIN-ARGUMENTS: and nothing is left behind.
refused()
{
	local pattern=$1 status=0

	shift
	join "$@" || status=$?
	[ "$status" != 0 ] || fail "it joined: $*"
	grep -q -e "$pattern" err || fail "it says: $(cat err)"
	[ ! -e "$1" ] || [ -e "$1/keyclone.properties" ] || fail "something is left of $1"
}

clones()
{
	equal "$(kc m clone list | sort | tr '\n' ' ')" "$1" "the fleet"
}

events()
{
	kc "$1" audit --json --event "$2" | jq -r '.detail // ""'
}

make_master m >/dev/null
kc m config set backup.KeyDerivationWork=15 >/dev/null
kc m key generate --count 20 --group LTO >/dev/null

say "nothing runs: the token is for later"
token
grep -q 'keycloned does not run here' said || fail "it says: $(cat said)"
equal "$(wc -l <tok)" 1 "lines of standard output"
equal "$(stat -c %a m/secrets/enroll-tokens)" 600
refused 'cannot be reached: connection refused' c1 --port 1
start_daemon m

say "two commands: a working clone"
free_port
P1=$PORT
join c1 --port "$P1" || fail "it says: $(cat err)"
grep -q "as 127\.0\.0\.1:$P1" out || fail "it says: $(cat out)"
start_daemon c1
kc m replicate-now >/dev/null
same_keys m c1
clones "127.0.0.1:$P1 "
[ ! -e m/secrets/enroll-tokens ] || fail "the token is still kept"
openssl x509 -in c1/keystore/ssl_cert.crt -noout -ext subjectAltName >san
grep -q 'IP Address:127.0.0.1' san && grep -q 'URI:urn:keyclone:role:clone' san || fail "it is for $(cat san)"
cmp m/truststore/authority.pem c1/truststore/authority.pem
equal "$(cut -d ' ' -f 1 m/secrets/signers)" "$(cut -d ' ' -f 1 c1/secrets/signers)" "the signing key"
grep -q "127.0.0.1:$P1" m/secrets/recipients || fail "its identity is not pinned"
equal "$(kc c1 config get replication.MasterHost)" 127.0.0.1
equal "$(kc m audit --json --event enroll.join | jq -r '.outcome' | tr '\n' ' ')" "started success "
equal "$(kc c1 audit --json --event enroll.join | jq -r '.outcome' | tr '\n' ' ')" "success "
equal "$(kc m audit --json --event clone.added | jq -r .peer)" "127.0.0.1:$P1"
! grep -r -q -f tok m c1 *.log || fail "the token is kept in $(grep -r -l -f tok m c1 *.log)"

say "used, revoked, expired, damaged"
allow_log 'refused 127\.0\.0\.1: its token is not valid here'
refused 'does not take this token: it was used, has expired or was revoked' c2
cut -c 1-60 tok >short
expect 64 keyclone enroll join --dir c2 - <short 2>err
grep -q 'not whole' err || fail "it says: $(cat err)"
token --ttl 3s --uses 2
equal "$(kc m --json enroll list | jq '.tokens[0].uses')" 2
wait_for 20 "the token expires" sh -c '! [ -e m/secrets/enroll-tokens ]'
refused 'does not take this token' c2
token
id=$(kc m --json enroll list | jq -r '.tokens[0].id')
kc m enroll revoke "$id" >out
refused 'does not take this token' c2
equal "$(events m enroll.revoke)" "token $id"
expect 1 kc m enroll revoke "$id" 2>/dev/null
kc m audit --json --event peer.refused | jq -e 'select(.code == "KC0331E")' >/dev/null
expect 64 kc c1 enroll token 2>/dev/null
expect 64 kc m enroll token --ttl 31d 2>/dev/null
expect 1 kc m enroll token --master elsewhere.example 2>err
grep -q 'is not for elsewhere.example' err || fail "it says: $(cat err)"

say "one use, two at the same time"
token
for i in 1 2; do
	free_port
	timeout 60 keyclone enroll join --dir "race$i" --port "$PORT" - <tok >"race$i.out" 2>"race$i.err" 8>&- 9>&- &
	race[i]=$!
done
won=0
for i in 1 2; do
	wait "${race[i]}" && won=$((won + 1)) && winner=race$i
done
allow_log 'was not enrolled: token [0-9a-f]*: the token (was used by another|is not valid any more)'
equal "$won" 1 "joined with one use"
equal "$(kc m clone list | wc -l)" 2
kc m clone remove "$(kc m clone list | grep -v ":$P1\$")" >/dev/null
rm -rf race1 race2 "$winner"

say "removed by its master: it comes back with what it has"
allow_log 'was not received: '
# What it still had to report is of before it was removed.
allow_log 'does not take the report'
allow_log 'certificate .*revoked'
before=$(sha256sum <c1/keyclone.properties)
old=$(openssl x509 -in c1/keystore/ssl_cert.crt -noout -fingerprint)
kc m clone remove "127.0.0.1:$P1" >/dev/null
clones ""
token
timeout 60 keyclone -c c1/keyclone.properties enroll join "$(cat tok)" >out
grep -q 'data, state and configuration stay' out || fail "it says: $(cat out)"
equal "$(sha256sum <c1/keyclone.properties)" "$before" "its properties"
clones "127.0.0.1:$P1 "
[ "$old" != "$(openssl x509 -in c1/keystore/ssl_cert.crt -noout -fingerprint)" ] || fail "the certificate is the old one"
kc m key generate --count 1 >/dev/null
kc m replicate-now >/dev/null
same_keys m c1

say "a new disk: another identity in its place, and not one more"
stop_daemon c1
old=$(cat m/secrets/recipients)
rm -rf c1/keystore c1/truststore c1/secrets c1/state c1/backups c1/keydb.sqlite*
token
join c1 || fail "it says: $(cat err)"
clones "127.0.0.1:$P1 "
[ "$old" != "$(cat m/secrets/recipients)" ] || fail "the old identity is still pinned"
start_daemon c1
kc m replicate-now >/dev/null
same_keys m c1
allow_log 'clone 127\.0\.0\.1:[0-9]*: unreachable'

say "a clone of another installation"
free_port
keyclone init master --dir m2 --port "$PORT" --password-file pw >/dev/null
kc m2 enroll token --master "127.0.0.1:$PORT" >tok 2>/dev/null
start_daemon m2
allow_log 'was not enrolled: token [0-9a-f]*: this clone follows lineage'
refused 'which is not of this master' c1
equal "$(kc m2 clone list)" ""
equal "$(kc m2 --json enroll list | jq '.tokens | length')" 1 "the token is not used up"
kc m2 audit --failed --json --event enroll.join | jq -e 'select(.code == "KC0334E")' >/dev/null
expect 64 join m2
grep -q "is a master's" err || fail "it says: $(cat err)"
stop_daemon m2

say "a certificate of another authority"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -subj '/CN=Other Authority' \
	-days 400 2>/dev/null
mkdir ext
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -passout pass:secret -keyout ext/client_key.pem -out ext.csr \
	-subj '/CN=kmip9' 2>/dev/null
printf 'extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n' >ext.cnf
openssl x509 -req -in ext.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 300 -extfile ext.cnf -out ext/client_cert.pem 2>/dev/null
printf 'secret\n' >ext/passphrase
free_port
token
allow_log 'was not enrolled: token [0-9a-f]*: certificate .*not in the truststore'
refused 'issued by .*Other Authority.*not in the truststore' c3 --port "$PORT" --external-cert-dir ext
kc m trust add ca.crt >/dev/null
kc m reload >/dev/null
P3=$PORT
join c3 --port "$PORT" --external-cert-dir ext || fail "it says: $(cat err)"
equal "$(kc m config get tls.AuthorizedCNs)" kmip9
grep -qx "tls.ExternalCertDir=$T/ext" c3/keyclone.properties || fail "it is not watched"
cmp <(openssl x509 -in ext/client_cert.pem) <(openssl x509 -in c3/keystore/ssl_cert.crt)
start_daemon c3
kc m replicate-now >/dev/null
same_keys m c3

say "… for the host: the clone is let in by the master as well, as long as it is one"
allow_log 'clone localhost:[0-9]*: unreachable'
# What it still had to report when it was removed.
allow_log 'a report of .* is not believed'
# external FOLDER CN SAN [OPTION…]: a set of the other authority.
external()
{
	local dir=$1 cn=$2 san=$3

	shift 3
	mkdir "$dir"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -passout pass:secret -keyout "$dir/client_key.pem" -out ext.csr \
		-subj "/CN=$cn" 2>/dev/null
	{
		cat ext.cnf
		echo "subjectAltName=$san"
	} >san.cnf
	openssl x509 -req -in ext.csr -days 300 -extfile san.cnf -out "$dir/client_cert.pem" "$@" 2>/dev/null
	printf 'secret\n' >"$dir/passphrase"
}

external ext2 clone.example DNS:localhost -CA ca.crt -CAkey ca.key -CAcreateserial
free_port
P4=$PORT
token
join c4 --port "$P4" --host localhost --external-cert-dir ext2 || fail "it says: $(cat err)"
equal "$(kc m config get tls.AuthorizedCNs)" kmip9 "no name is needed"
start_daemon c4
kc m replicate-now >/dev/null
same_keys m c4
kc c4 check >out || fail "it says: $(cat out)"
grep -q '^ok *master' out || fail "it says: $(cat out)"
kc m clone remove "localhost:$P4" >/dev/null
allow_log 'its certificate is in neither the host nor tls\.AuthorizedCNs \(CN=clone\.example\)'
expect 2 kc c4 check >out
grep -q 'master.*refused by the peer' out || fail "it says: $(cat out)"
stop_daemon c4
rm -rf c4

say "… with an authority between, in a file of its own"
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout int.key -out int.csr -subj '/CN=Between' 2>/dev/null
openssl x509 -req -in int.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 300 -out int.crt \
	-extfile <(echo 'basicConstraints=critical,CA:true') 2>/dev/null
external ext3 clone.example IP:127.0.0.1 -CA int.crt -CAkey int.key -CAcreateserial
cp int.crt ext3/ca.crt
free_port
token
join c4 --port "$PORT" --external-cert-dir ext3 || fail "it says: $(cat err)"
start_daemon c4
kc m replicate-now >/dev/null
same_keys m c4
kc c4 check >out || fail "it says: $(cat out)"
stop_daemon c4
kc m clone remove "127.0.0.1:$PORT" >/dev/null
rm -rf c4

say "… which is removed: what is left of it is said, or goes"
openssl pkcs12 -export -in ext/client_cert.pem -inkey ext/client_key.pem -passin pass:secret -passout pass:secret -out ext.p12
kc m cert depot add "127.0.0.1:$P3" ext.p12 --p12-password-file ext/passphrase >/dev/null
kc m config set 'tls.AuthorizedCNs=kmip9;elsewhere' >/dev/null
kc m clone remove "127.0.0.1:$P3" >out
grep -q "keyclone config set 'tls.AuthorizedCNs=elsewhere' (without kmip9)" out || fail "it says: $(cat out)"
grep -q 'What the depot kept for it is retired' out || fail "it says: $(cat out)"
equal "$(kc m --json cert depot list)" '{"certificates":[]}'
ls m/keystore/depot/retired/*.key >/dev/null
stop_daemon c3

say "a clock that is far off"
for lib in /usr/lib/*/faketime/libfaketime.so.1; do
	[ -e "$lib" ] || break
	# Sanitizers want to be loaded first.
	is_sanitized && break
	allow_log 'was not enrolled: token [0-9a-f]*: the clock of this clone is 9 days behind'
	token
	LD_PRELOAD=$lib FAKETIME=-9d FAKETIME_DONT_FAKE_MONOTONIC=1 timeout 60 keyclone enroll join --dir c4 - <tok >out 2>err &&
		fail "it joined"
	grep -q 'the clock of this clone is 9 days behind' err || fail "it says: $(cat err)"
done

say "guessing"
allow_log 'refused 127\.0\.0\.1: too many wrong tokens'
token
kc m enroll revoke "$(kc m --json enroll list | jq -r '.tokens[-1].id')" >/dev/null
refusals() { kc m audit --json --event peer.refused | wc -l; }
before=$(refusals)
for ((i = 0; i < 12; i++)); do
	expect 1 join guess 2>/dev/null
done
grep -q 'too many wrong tokens from here; try again in a minute' err || fail "it says: $(cat err)"
token
expect 1 join guess
[ $(($(refusals) - before)) -lt 6 ] || fail "each try is audited"
finish
