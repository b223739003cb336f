#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# certs: requests that openssl and certtool answer, chains in every disorder, renewals, keystores of other products, key
# types, and what is retired.
set -u

build=${TOP_BUILDDIR:-.}
keyclone=${KEYCLONE:-$build/keyclone}
for need in openssl certtool keytool jq; do
	command -v "$need" > /dev/null || { echo "skipped: $need is missing"; exit 77; }
done
[ -x "$keyclone" ] || { echo "skipped: $keyclone is not built"; exit 77; }
case $keyclone in /*) ;; *) keyclone=$PWD/$keyclone ;; esac
top=$(cd "${TOP_SRCDIR:-.}" && pwd)
# shellcheck source=tests/interop/checks.sh
. "$top/tests/interop/checks.sh"

kc() { "$keyclone" -c "$dir/m/keyclone.properties" "$@"; }
is() { # JQ-EXPRESSION COMMAND…
	local want=$1
	shift
	kc --json "$@" > answer 2> err || { cat err; return 1; }
	jq -e "$want" answer > /dev/null || { cat answer; return 1; }
}
mkdir -p m/log m/secrets
echo 'replication.role=master' > m/keyclone.properties
printf 'transport 1\n' > pw
printf 'wrong\n' > wrong
ks=m/keystore
# keytool starts often and works little
export JAVA_TOOL_OPTIONS='-XX:TieredStopAtLevel=1 -XX:+UseSerialGC'

# A company: a root, an intermediate, both also in files of their own.
openssl ecparam -name prime256v1 -genkey -noout -out root.key
openssl req -x509 -new -key root.key -out root.crt -days 30 -subj '/O=Company/CN=Company Root' 2> /dev/null
openssl ecparam -name prime256v1 -genkey -noout -out sub.key
openssl req -new -key sub.key -out sub.csr -subj '/O=Company/CN=Company Sub' 2> /dev/null
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n' > ca.ext
openssl x509 -req -in sub.csr -CA root.crt -CAkey root.key -days 30 -extfile ca.ext -out sub.crt 2> /dev/null
printf 'extendedKeyUsage=serverAuth,clientAuth\n' > leaf.ext
sign() { # CSR OUT [DAYS [OPTIONS]]
	local csr=$1 out=$2 days=${3:-30}
	shift 2
	[ $# -gt 0 ] && shift
	openssl x509 -req -in "$csr" -CA sub.crt -CAkey sub.key -days "$days" -extfile leaf.ext -out "$out" "$@" 2> /dev/null
}

# --- key types, each way out and in again ---
for type in rsa-2048 rsa-4096 ecdsa-p384 ecdsa-p521 ed25519; do
	ok "$type: made" kc cert create --alias "k-$type" --cn "$type.example" --key-type "$type"
	ok "$type: shown" is ".key_type == \"$type\" and .tls_client and .tls_server" cert show "k-$type"
	ok "$type: openssl verifies it" openssl verify -x509_strict -CAfile "$ks/k-$type.crt" "$ks/k-$type.crt"
	[ $type != rsa-4096 ] || continue
	ok "$type: requested" kc cert request --alias "q-$type" --cn "$type.example" --key-type "$type" --output "$type.csr"
	ok "$type: openssl verifies the request" openssl req -in "$type.csr" -verify -noout
done
for type in ecdsa-p521 ed25519; do
	ok "$type: exported" kc cert export --alias "k-$type" --format p12 --p12-password-file pw --output "$type.p12"
	ok "$type: openssl writes it anew" bash -c \
		"openssl pkcs12 -in $type.p12 -passin file:pw -nodes -out $type.all &&
		openssl pkcs12 -export -in $type.all -name back-$type -passout file:pw -out $type.back.p12"
	ok "$type: imported" kc cert import "$type.back.p12" --p12-password-file pw
	ok "$type: it is the same" bash -c "cmp $ks/k-$type.crt $ks/back-$type.crt"
done
refused 64 'rsa-1024: not one of' "a weak key type is refused" kc cert create --alias weak --cn weak --key-type rsa-1024
ok "parts of a subject" kc cert create --alias parts --cn 'a, b' --o 'Example + Sons' --ou x --l 'Old Town' --st S --c de
ok "openssl reads them" bash -c "openssl x509 -in $ks/parts.crt -noout -subject -nameopt RFC2253 | grep -qF \
	'CN=a\\, b,OU=x,O=Example \\+ Sons,L=Old Town,ST=S,C=de'"
refused 64 'two letters' "a country has two letters" kc cert create --alias no --cn x --c Germany
refused 64 'part of --subject' "a subject is given one way" kc cert create --alias no --subject CN=x --o y
refused 64 'cert.MaximumYears' "fifty years are the most" kc cert create --alias long --cn long --days 20000
ok "the default life is said" bash -c "'$keyclone' -c m/keyclone.properties cert create --alias said --cn said |
	grep -q 'valid 825 days, until .*--days'"

# --- a request, its problems, its answer ---
ok "requested" kc cert request --alias ext --cn ext.example --o Company --san ext.example,192.0.2.7 --output ext.csr
ok "certtool reads the request" bash -c "certtool --crq-info --infile ext.csr | grep -q 'IPAddress: 192.0.2.7'"
ok "it is pending" is '.pending and .state == "pending" and .subject == "CN=ext.example,O=Company"' cert show ext
ok "the list has it" is '[.certificates[] | select(.pending) | .alias] | index("ext") != null' cert list
refused 73 'exists already' "no file is overwritten" kc cert request --alias ext2 --cn x --output ext.csr
refused 64 'cn NAME or --subject' "a common name is needed" kc cert request --alias ext2 --o Company --output no.csr
refused 64 'common name' "in a whole subject as well" kc cert request --alias ext2 --subject O=Company --output no.csr
refused 73 'ext: exists already' "no alias is taken twice" kc cert request --alias ext --cn other --output no.csr
refused 1 'No such file' "no folder, no key" kc cert request --alias ext2 --cn x --output none/x.csr
ok "nothing is left of these" test ! -e no.csr -a ! -e $ks/ext2.key -a ! -e $ks/ext2.csr
ok "the request is written once more" kc cert request --alias ext --output again.csr
ok "it is the same" cmp ext.csr again.csr
ok "the file of a request is described" is '.subject == "CN=ext.example,O=Company"' cert show ext.csr
sign ext.csr ext.crt
openssl req -new -key root.key -subj '/O=Company/CN=ext.example' -out stranger.csr 2> /dev/null
sign stranger.csr stranger.crt
refused 1 "alias ext: certificate ext.example in stranger.crt is not for its key, but for one that is not in" \
	"another key is named" kc cert import stranger.crt --alias ext
refused 1 'for no key in the keystore' "a key of nobody" kc cert import stranger.crt
kc cert request --alias second --cn second.example --output second.csr > /dev/null
sign second.csr second.crt
refused 1 "not for its key, but for that of alias second" "the alias it is for is named" kc cert import second.crt --alias ext
refused 1 "alias nowhere: no request is pending" "an alias that is not there" kc cert import second.crt --alias nowhere
openssl req -new -key $ks/ext.key -passin file:$ks/tls.secret -subj '/O=Company/CN=renamed.example' -out renamed.csr
sign renamed.csr renamed.crt
refused 1 'the certificate is for .*renamed.example.*, and its request for CN=ext.example' "another subject is named" \
	kc cert import renamed.crt
refused 65 'a certificate request, and no certificate' "a request is no certificate" kc cert import ext.csr --alias ext
printf 'extendedKeyUsage=serverAuth\n' > server.ext
openssl x509 -req -in ext.csr -CA sub.crt -CAkey sub.key -days 30 -extfile server.ext -out server.crt 2> /dev/null
refused 1 "lacks the use 'TLS client'" "a server's certificate is refused" kc cert import server.crt
openssl req -x509 -newkey rsa:1024 -noenc -keyout weak.key -subj '/CN=weak.example' -days 30 -out weak.crt 2> /dev/null
refused 1 'an RSA key of 1024 bits; at least 2048 are needed' "a weak key is refused" \
	kc cert import weak.crt --key weak.key --alias weak
sign ext.csr century.crt 20000
refused 1 'more than the 50 years of cert.MaximumYears' "more than fifty years are refused" kc cert import century.crt
ok "still pending" is .pending cert show ext

# the chain: text between, any order, separate files, folders, PKCS#7
mkdir chain && cp root.crt chain/ca.crt && openssl x509 -in sub.crt -outform DER -out chain/sub.der
{ openssl x509 -in root.crt -text; echo 'the leaf comes now'; openssl x509 -in ext.crt -text; } > mixed.txt
ok "answered, the intermediate in a folder" kc cert import mixed.txt --chain chain
ok "chain and key are there" is '.has_key and .chain_length == 3 and (.pending | not)' cert show ext
chain_is() {
	test "$(openssl crl2pkcs7 -nocrl -certfile $ks/ext.crt | openssl pkcs7 -print_certs -noout |
		sed -n 's/^subject=.*CN = //p' | tr '\n' '|')" = 'ext.example|Company Sub|Company Root|'
}
ok "in order" chain_is
ok "the request is kept" cmp ext.csr $ks/ext.csr
ok "nothing new the second time" bash -c "'$keyclone' -c m/keyclone.properties cert import ext.crt | grep -q 'nothing new for ext'"

# --- renewal: same key and subject ---
before=$(openssl x509 -in $ks/ext.crt -noout -fingerprint -sha256 | tr -d : | sed 's/.*=//' | tr 'A-F' 'a-f')
key=$(sha256sum < $ks/ext.key)
sign ext.csr early.crt 3
refused 1 'ends at .*, before the one that is there' "a renewal that ends sooner is refused" kc cert import early.crt
sign ext.csr renewed.crt 60
openssl crl2pkcs7 -nocrl -certfile renewed.crt -certfile sub.crt -certfile root.crt -out renewed.p7b
ok "renewed from PKCS#7" bash -c "'$keyclone' -c m/keyclone.properties cert import renewed.p7b | grep -q '^renewed ext'"
ok "its key stays" test "$(sha256sum < $ks/ext.key)" = "$key"
ok "in order" chain_is
ok "the old one is retired" is ".retired | length == 1 and .[0].alias == \"ext\" and .[0].sha256 == \"$before\" and (.[0].has_key | not)" \
	cert list --retired

# --- aliases with keys: replaced and removed ---
ok "replaced" kc cert create --alias said --cn said --replace
ok "removed" kc cert remove said
refused 1 'not in the keystore' "only once" kc cert remove said
ok "both are retired with their keys" is '[.retired[] | select(.alias == "said" and .has_key)] | length == 2' cert list --retired
ok "openssl opens a retired key" bash -c "openssl pkey -in \"\$(ls $ks/retired/said.*.key | head -n 1)\" \
	-passin file:$ks/tls.secret -noout"
ok "it comes back" bash -c "k=\$(ls $ks/retired/said.*.key | head -n 1) &&
	'$keyclone' -c m/keyclone.properties cert import \"\${k%.key}.crt\" --key \"\$k\" --alias said --p12-password-file $ks/tls.secret"
ok "a request is removed" kc cert remove second
ok "its key is kept" bash -c "ls $ks/retired/second.*.key $ks/retired/second.*.csr"
kc config set backup.TLSCertAlias=ext > /dev/null
refused 77 'speaks TLS with it' "nothing in use is removed" kc cert remove ext
ok "the list says what is in use" is '[.certificates[] | select(.in_use) | .alias] == ["ext"]' cert list
kc --json audit --event cert > audit.json
ok "the audit has them" jq -se '[.[].event] | contains(["cert.request", "cert.import", "cert.create", "cert.remove"])' audit.json

# --- PKCS#12 with several keys, other products' keystores ---
for n in one two; do
	keytool -genkeypair -alias $n -keyalg EC -groupname secp256r1 -dname CN=$n.example -validity 30 -keystore many.p12 \
		-storetype PKCS12 -storepass 'transport 1' > /dev/null 2>&1
done
keytool -importkeystore -srckeystore many.p12 -srcstorepass 'transport 1' -destkeystore 'my old.jceks' -deststoretype JCEKS \
	-deststorepass 'transport 1' > /dev/null 2>&1
refused 65 '2 private keys instead of one: one, two; --from-alias NAME chooses' "two keys are listed" \
	kc cert import many.p12 --alias k --p12-password-file pw
refused 1 'no private key named three, but one, two' "one that is not there" \
	kc cert import many.p12 --from-alias three --p12-password-file pw
ok "one is chosen" kc cert import many.p12 --from-alias two --p12-password-file pw
ok "it is the right one" is '.cn == "two.example" and .has_key' cert show two
ok "the file is described" is '.has_key and (.certificates | length == 2)' cert show many.p12 --p12-password-file pw
refused 65 'does not open' "not with a wrong password" kc cert show many.p12 --p12-password-file wrong
kc cert import 'my old.jceks' --alias j 2> err
ok "the line that converts" grep -qF "keytool -importkeystore -srckeystore 'my old.jceks' -srcstoretype JCEKS -destkeystore 'my old.p12' -deststoretype PKCS12" err
line=$(sed -n 's/^ *\(keytool .*\)/\1/p' err)
ok "it works" bash -c "$line -srcstorepass 'transport 1' -deststorepass 'transport 1'"
ok "and what it makes" kc cert import 'my old.p12' --from-alias one --alias j1 --p12-password-file pw
printf '\0\0\0\2key database\n' > cms.kdb
refused 65 'gsk8capicmd_64 -cert -export -db cms.kdb -stashed -label LABEL -type cms -target cms.p12 -target_type pkcs12' \
	"a key database is named" kc cert import cms.kdb --alias j
openssl pkcs12 -export -legacy -in ext.crt -inkey root.key -certfile sub.crt -nokeys -passout file:pw -out none.p12
refused 65 '0 private keys' "a p12 without a key" kc cert import none.p12 --alias none --p12-password-file pw

# --- what certtool makes ---
certtool --generate-privkey --key-type ecdsa --curve secp384r1 --outfile g.key 2> /dev/null
printf 'cn = g.example\nexpiration_days = 30\ntls_www_server\ntls_www_client\nsigning_key\n' > g.tmpl
certtool --generate-self-signed --load-privkey g.key --template g.tmpl --outfile g.crt 2> /dev/null
ok "certtool's self-signed one, trusted at once" kc cert import g.crt --key g.key --alias g --trust
ok "it is trusted" is '.certificates[0].trusted' cert show g.crt
kc cert request --alias byct --cn byct.example --output byct.csr > /dev/null
printf 'expiration_days = 30\ntls_www_server\ntls_www_client\nsigning_key\n' > ct.tmpl
certtool --generate-certificate --load-request byct.csr --load-ca-certificate sub.crt --load-ca-privkey sub.key \
	--template ct.tmpl --outfile byct.crt 2> ct.err
ok "certtool's answer" kc cert import byct.crt --chain sub.crt --chain root.crt --trust
ok "its authorities are trusted" is '[.trusted[].cn] | contains(["Company Root", "Company Sub"])' trust list

# --- a machine that shows its chain ---
cat > server.py << 'PY'
import socket, ssl, sys
chain, key, mutual = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
if mutual == "mutual":
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(chain)
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    listener.settimeout(60)
    s, _ = listener.accept()
    try:
        context.wrap_socket(s, server_side=True).close()
    except OSError:
        pass
PY
openssl req -x509 -newkey rsa:2048 -nodes -keyout s.key -out s.crt -days 30 -subj /CN=s.example \
	-addext subjectAltName=IP:127.0.0.1 2> /dev/null
for mutual in open mutual; do
	rm -f port
	python3 server.py s.crt s.key "$mutual" > port 2> server.err &
	server=$!
	for _ in $(seq 100); do [ -s port ] && break; sleep 0.05; done
	ok "$mutual: its certificate is shown" is \
		'.matches_host and (.trusted | not) and (.reason | contains("not in the truststore")) and .certificates[0].cn == "s.example"' \
		cert show "127.0.0.1:$(cat port)"
	wait "$server"
done
refused 1 'connection refused' "nobody there" kc cert show "127.0.0.1:$(cat port)"
refused 1 'no alias of the keystore' "nothing of the name" kc cert show nothing

ok "no private key in the clear in the keystore" bash -c "! grep -rlE 'BEGIN (EC |RSA |)PRIVATE KEY' m"
exit "$failed"
