#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A system backup opens with age, zstd, tar, sha256sum and signify, and its password.
. "${TOP_SRCDIR:-.}/tests/system/functions.sh"
begin interop-system age zstd tar sha256sum python3 openssl

make_master m
start_daemon m
there()
{
	compgen -G 'm/backups/keyclone-system-*.age' >/dev/null
}
wait_for 20 "a system backup" there
stop_daemon m
file=$(echo m/backups/keyclone-system-*.age)

python3 "$TOP_SRCDIR/tests/interop/on_tty.py" "$(cat pw)" age -d -o system.tar.zst "$file"
mkdir tree
zstd -qd <system.tar.zst | tar x -C tree
cd tree
sha256sum --quiet --strict -c SHA256SUMS
python3 -c 'import json; m = json.load(open("manifest.json")); assert m["kind"] == "system" and m["generation"] == 1'
for member in config/keyclone.properties secrets/seal.key secrets/signing.key secrets/authority.key keystore/ssl_cert.key; do
	cmp "$member" "../m/${member#config/}"
done
openssl x509 -in secrets/authority.crt -noout
openssl pkey -in keystore/ssl_cert.key -passin "file:keystore/tls.secret" -noout
[ ! -e secrets/identity.age ] && [ ! -e keystore/keydb.key ]
if signify=$(command -v signify-openbsd); then
	"$signify" -V -q -p secrets/signing.pub -m SHA256SUMS -x SHA256SUMS.sig
fi
cd ..
finish
