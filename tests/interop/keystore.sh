#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Certificates, keys, PKCS#12 files and signatures between keyclone and openssl, certtool, keytool and signify-openbsd.
set -u

build=${TOP_BUILDDIR:-.}
keyclone=${KEYCLONE:-$build/keyclone}
tool=${KEYSTORE_TOOL:-$build/tests/interop/keystore_tool}
for need in openssl certtool keytool signify-openbsd; do
	command -v "$need" > /dev/null || { echo "skipped: $need is missing"; exit 77; }
done
for program in "$keyclone" "$tool"; do
	[ -x "$program" ] || { echo "skipped: $program is not built"; exit 77; }
done

top=$(cd "${TOP_SRCDIR:-.}" && pwd)
# shellcheck source=tests/interop/checks.sh
. "$top/tests/interop/checks.sh"
kc() { "$keyclone" -c "$dir/m/keyclone.properties" "$@"; }

mkdir -p m/log m/secrets
echo 'replication.role=master' > m/keyclone.properties
printf 'transport 1\n' > pw
printf 'wrong\n' > wrong
ok "an authority is made" "$tool" authority m/secrets
ok "a self-signed identity is made" kc cert create --alias own --cn own.example --san localhost,127.0.0.1
ok "an RSA identity is made" kc cert create --alias rsa --cn rsa.example --key-type rsa-3072 --san rsa.example
ok "a clone's identity is issued" kc cert create --issued --role clone --alias c1 --cn c1.example --san c1.example --san ::1

# --- what we write, read by others ---
for alias in own rsa c1; do
	ok "$alias: exported as p12" kc cert export --alias $alias --format p12 --p12-password-file pw --output $alias.p12
	ok "$alias: openssl opens the p12" openssl pkcs12 -in $alias.p12 -passin file:pw -nodes -out $alias.all
	ok "$alias: openssl sees the friendly name" says "friendlyName: $alias" $alias.all
	ok "$alias: openssl finds key and certificate to match" bash -c \
		"cmp <(openssl pkey -in $alias.all -pubout) <(openssl x509 -in $alias.all -noout -pubkey)"
	ok "$alias: keytool lists the p12" bash -c \
		"keytool -list -v -keystore $alias.p12 -storetype PKCS12 -storepass 'transport 1' -J-Duser.language=en > $alias.list"
	ok "$alias: keytool sees key and alias" bash -c \
		"grep -q '^Alias name: $alias\$' $alias.list && grep -q PrivateKeyEntry $alias.list"
	ok "$alias: exported as PEM with key" kc cert export --alias $alias --with-key --p12-password-file pw --output $alias.pem
	ok "$alias: openssl decrypts the PEM key" openssl pkey -in $alias.pem -passin file:pw -noout
	ok "$alias: certtool decrypts the PEM key" bash -c \
		"sed -n '/BEGIN ENCRYPTED/,\$p' $alias.pem | certtool --key-info --password 'transport 1' | grep -q 'Public Key'"
	ok "$alias: openssl decrypts the key of the keystore" openssl pkey -in m/keystore/$alias.key \
		-passin file:m/keystore/tls.secret -noout
	ok "$alias: exported as DER" kc cert export --alias $alias --format der --output $alias.der
	ok "$alias: openssl reads the DER" openssl x509 -inform DER -in $alias.der -noout
	ok "$alias: exported as base64" kc cert export --alias $alias --format base64 --output $alias.b64
	ok "$alias: openssl reads the base64" openssl x509 -in $alias.b64 -noout
done
ok "keytool sees the chain of the issued one" says "Certificate chain length: 2" c1.list
for purpose in sslclient sslserver; do
	ok "openssl verifies the issued one for $purpose" openssl verify -x509_strict -CAfile m/secrets/authority.crt \
		-purpose $purpose c1.b64
done
ok "certtool verifies the issued one" bash -c "certtool --verify --load-ca-certificate m/secrets/authority.crt < c1.b64"
refused 73 "exists" "nothing is overwritten" kc cert export --alias own --format p12 --p12-password-file pw --output own.p12
ok "the p12 is for its owner only" test "$(stat -c %a own.p12)" = 600

# --- what others write, read by us ---
imported() { # ALIAS: in the keystore, and with this common name
	kc --json cert show "$1" | grep -q '"has_key":true'
}
openssl req -x509 -newkey rsa:2048 -nodes -keyout o.key -out o.crt -days 30 -subj /CN=o.example \
	-addext subjectAltName=DNS:o.example 2> /dev/null
openssl pkcs12 -export -in o.crt -inkey o.key -name from-openssl -passout file:pw -out modern.p12
openssl pkcs12 -export -legacy -in o.crt -inkey o.key -name from-legacy -passout file:pw -out legacy.p12
openssl pkcs12 -export -in o.crt -inkey o.key -passout file:pw -out nameless.p12
keytool -genkeypair -alias From-Keytool -keyalg EC -groupname secp256r1 -dname CN=k.example -validity 30 -keystore k.p12 \
	-storetype PKCS12 -storepass 'transport 1' > /dev/null 2>&1
keytool -genkeypair -alias from-jks -keyalg RSA -keysize 2048 -dname CN=j.example -validity 30 -keystore j.jks \
	-storetype JKS -storepass 'transport 1' > /dev/null 2>&1
keytool -importkeystore -srckeystore j.jks -srcstorepass 'transport 1' -destkeystore j.p12 -deststoretype PKCS12 \
	-deststorepass 'transport 1' > /dev/null 2>&1
certtool --to-p12 --load-certificate o.crt --load-privkey o.key --p12-name from-certtool --password 'transport 1' \
	--outder --outfile g.p12 > /dev/null 2>&1
for pair in modern.p12:from-openssl legacy.p12:from-legacy k.p12:from-keytool j.p12:from-jks g.p12:from-certtool; do
	file=${pair%:*} alias=${pair#*:}
	refused 65 "does not open" "$file: a wrong password is named" kc cert import "$file" --p12-password-file wrong
	ok "$file is imported" kc cert import "$file" --p12-password-file pw
	ok "$file keeps its alias $alias" imported "$alias"
done
refused 64 "alias" "a p12 without a name needs one" kc cert import nameless.p12 --p12-password-file pw
ok "a p12 without a name is imported by alias" kc cert import nameless.p12 --alias nameless --p12-password-file pw
refused 65 JKS "a JKS file is named as one" kc cert import j.jks --alias j --p12-password-file pw
# Java's EC keys have no public half
openssl pkcs12 -in k.p12 -passin file:pw -nokeys -out k.crt
openssl pkcs12 -in k.p12 -passin file:pw -nocerts -nodes -out k.key
openssl pkcs12 -in k.p12 -passin file:pw -nocerts -passout 'pass:transport 1' -out k.enc
ok "an EC key without its public half" kc cert import k.crt --key k.key --alias half
ok "an encrypted EC key without its public half" kc cert import k.crt --key k.enc --alias halfenc --p12-password-file pw
ok "its copy is whole" openssl pkey -in m/keystore/half.key -passin file:m/keystore/tls.secret -pubcheck -noout
refused 65 "cannot be read" "but not with another certificate" kc cert import own.b64 --key k.key --alias nope
keytool -genkeypair -alias second -keyalg EC -groupname secp256r1 -dname CN=k2.example -validity 30 -keystore k.p12 \
	-storetype PKCS12 -storepass 'transport 1' > /dev/null 2>&1
refused 65 "2 private keys" "a p12 with two keys is refused" kc cert import k.p12 --alias k2 --p12-password-file pw
openssl pkcs12 -export -nokeys -in o.crt -passout file:pw -out certs.p12
refused 65 "0 private keys" "a p12 without a key is refused" kc cert import certs.p12 --alias certs --p12-password-file pw
head -c 700 modern.p12 > short.p12
refused 65 "short.p12" "a truncated p12 is refused" kc cert import short.p12 --alias short --p12-password-file pw

openssl pkey -in o.key -aes256 -passout file:pw -out o.enc
openssl rsa -in o.key -aes256 -traditional -passout file:pw -out o.old 2> /dev/null
openssl pkey -in o.key -outform DER -out o.keyder
openssl x509 -in o.crt -outform DER -out o.der
ok "certificate and encrypted PKCS#8" kc cert import o.crt --key o.enc --alias pkcs8 --p12-password-file pw
ok "certificate and encrypted traditional key" kc cert import o.crt --key o.old --alias old --p12-password-file pw
ok "DER certificate and DER key" kc cert import o.der --key o.keyder --alias der
refused 64 "give --p12-password-file" "an encrypted key needs its password" kc cert import o.crt --key o.enc --alias nope
refused 1 "belongs to none" "a key of another certificate is refused" kc cert import own.b64 --key o.key --alias nope

# a chain with an intermediate, in the wrong order, the root and the key in the middle
openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.crt -days 30 -subj /CN=root 2> /dev/null
openssl req -newkey rsa:2048 -nodes -keyout sub.key -out sub.csr -subj /CN=sub 2> /dev/null
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n' > ca.ext
openssl x509 -req -in sub.csr -CA root.crt -CAkey root.key -days 30 -extfile ca.ext -out sub.crt 2> /dev/null
leaf() { # NAME EXTENSIONS
	openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2> /dev/null
	printf '%b' "$2" > leaf.ext
	openssl x509 -req -in "$1.csr" -CA sub.crt -CAkey sub.key -days 30 -extfile leaf.ext -out "$1.crt" 2> /dev/null
}
leaf shuffled 'extendedKeyUsage=serverAuth,clientAuth\n'
leaf server 'extendedKeyUsage=serverAuth\n'
cat root.crt shuffled.key sub.crt o.crt shuffled.crt > shuffled.pem
ok "a shuffled chain" kc cert import shuffled.pem --alias shuffled
ok "its order is right" bash -c "test \"\$(openssl crl2pkcs7 -nocrl -certfile m/keystore/shuffled.crt |
	openssl pkcs7 -print_certs -noout | sed -n 's/^subject=CN = //p' | tr '\n' ' ')\" = 'shuffled sub root '"
cat server.crt server.key > server.pem
refused 1 "alias server: certificate lacks the use 'TLS client'" "a server's certificate is refused" \
	kc cert import server.pem --alias server
ok "a company's root is trusted" kc trust add root.crt --alias company
ok "it is listed" bash -c "'$keyclone' -c m/keyclone.properties trust list | grep -q '^company .*authority'"
ok "it is removed" kc trust remove company

# --- signatures ---
head -c 100000 /dev/urandom > payload
ok "we sign" "$tool" sign m/secrets payload
ok "signify verifies" signify-openbsd -V -q -p m/secrets/signing.pub -m payload
ok "trust signer shows the key" bash -c "'$keyclone' -c m/keyclone.properties trust signer | grep -q '^own'"
signify-openbsd -G -n -p s.pub -s s.sec
signify-openbsd -S -s s.sec -m payload -x s.sig
ok "we verify signify's" "$tool" verify s.pub payload s.sig
ok "signify's key is accepted" kc trust signer s.pub --comment elsewhere
ok "it is in the list" bash -c "'$keyclone' -c m/keyclone.properties trust signer | grep -q '^accepted.*elsewhere'"
printf x >> payload
refused 65 "does not verify" "we refuse altered bytes" "$tool" verify s.pub payload s.sig
refused 1 "" "signify refuses altered bytes" signify-openbsd -V -q -p m/secrets/signing.pub -m payload

# --- nothing in the clear ---
ok "no private key in the clear in the keystore" bash -c "! grep -rlE 'BEGIN (EC |RSA |)PRIVATE KEY' m"
exit $failed
