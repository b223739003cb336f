#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the certificates of the matrix of peers: make-pki.sh DIR
#
# Each NAME gives DIR/NAME.crt (chain without its root, leaf first), DIR/NAME.key (in the clear: for tests only)
# and DIR/NAME.pem (both, for identity_parse). All are ECDSA P-256 with the SANs localhost, 127.0.0.1, ::1 and both uses,
# unless said otherwise.
#
#   authority        own authority: URI urn:keyclone:authority. authority.crt goes into a truststore
#   authority-old    the same name and key, ended three days ago: authority is its renewal
#   master clone     issued by it, with the URI of their role
#   clone2           another clone
#   norole           issued by it, without a role
#   wrong-name       role master, SAN other.example only
#   wrong-name-clone role clone, SAN other.example only
#   expired          role clone, ended three days ago            expired-master      the same with role master
#   not-yet-valid    role clone, begins in two days              not-yet-master      the same with role master
#   server-only      role clone, extended key usage server only  client-only         role master, client only
#   no-signature     role clone, RSA, key usage key encipherment only
#   other-authority  another own authority, not trusted; wrong-ca, wrong-ca-clone: master and clone issued by it
#   forged-authority the same name as authority, another key; forged: role master, issued by it
#   under-clone      role master, issued by the certificate `clone`, which is no authority (chain: leaf, clone;
#                    identity_parse leaves clone out)
#   site-ca          a company's root, site-sub its intermediate, both without uses and roles
#   site             issued by site-sub (chain: leaf, site-sub), CN site.example, SANs as above; site-other: another one
#                    with CN other.example and SAN other.example
#   self             self-signed end-entity certificate (the shared site certificate); self-other: another one
#   self-old         self-signed, ended three days ago
#   rsa              role clone, RSA-3072                        weak                role clone, RSA-1024
#
# Needs certtool (gnutls-bin) and GNU date; exits 77 without.
set -eu

dir=${1:?usage: make-pki.sh DIR}
command -v certtool > /dev/null || { echo "make-pki.sh: certtool is missing" >&2; exit 77; }
mkdir -p "$dir"
cd "$dir"
umask 077

serial=1000
SANS=$'dns_name = localhost\nip_address = 127.0.0.1\nip_address = ::1'
USES=$'signing_key\ntls_www_server\ntls_www_client'
DAYS=$'activation_date = "2020-01-01 00:00:00 UTC"\nexpiration_date = "2059-01-01 00:00:00 UTC"'

utc() { date -u -d "$1" '+%Y-%m-%d %H:%M:%S UTC'; }
window() { printf 'activation_date = "%s"\nexpiration_date = "%s"' "$(utc "$1")" "$(utc "$2")"; }
role() { printf 'uri = urn:keyclone:role:%s' "$1"; }

key() { # NAME [certtool options]
	local name=$1
	shift
	certtool --generate-privkey "${@:---key-type=ecdsa}" --no-text --outfile "$name.key" 2> /dev/null
}

template() { # NAME CN LINE…: writes NAME.tmpl
	local name=$1 cn=$2
	shift 2
	serial=$((serial + 1))
	{ printf 'cn = "%s"\nserial = %d\n' "$cn" "$serial"; printf '%s\n' "$@"; } > "$name.tmpl"
}

sign() { # NAME [ISSUER]: from NAME.tmpl and NAME.key; no issuer: self-signed
	if [ $# -gt 1 ]; then
		certtool --generate-certificate --load-privkey "$1.key" --template "$1.tmpl" --outfile "$1.crt" --no-text \
			--load-ca-certificate "$2.crt" --load-ca-privkey "$2.key" 2> /dev/null
	else
		certtool --generate-self-signed --load-privkey "$1.key" --template "$1.tmpl" --outfile "$1.crt" --no-text \
			2> /dev/null
	fi
}

bundle() { cat "$1.crt" "$1.key" > "$1.pem"; }

authority() { # NAME CN LINE…
	key "$1"
	template "$1" "$2" ca cert_signing_key crl_signing_key "$DAYS" "${@:3}"
	sign "$1"
	bundle "$1"
}

leaf() { # NAME ISSUER CN LINE…
	local name=$1 issuer=$2 cn=$3
	shift 3
	[ -f "$name.key" ] || key "$name"
	template "$name" "$cn" "$@"
	sign "$name" "$issuer"
	bundle "$name"
}

self() { # NAME CN LINE…
	key "$1"
	template "$1" "$2" "${@:3}"
	sign "$1"
	bundle "$1"
}

chain() { # NAME ISSUER: the issuer behind the leaf
	cat "$2.crt" >> "$1.crt"
	bundle "$1"
}

authority authority "keyclone test authority" "uri = urn:keyclone:authority" "path_len = 0"
authority other-authority "another authority" "uri = urn:keyclone:authority" "path_len = 0"
authority forged-authority "keyclone test authority" "uri = urn:keyclone:authority" "path_len = 0"
authority site-ca "Site Root CA" "path_len = 1"

past=$(window "400 days ago" "3 days ago")
future=$(window "2 days" "400 days")

cp authority.key authority-old.key
template authority-old "keyclone test authority" ca cert_signing_key crl_signing_key "$past" "uri = urn:keyclone:authority" \
	"path_len = 0"
sign authority-old
bundle authority-old

leaf master authority master "$SANS" "$USES" "$DAYS" "$(role master)"
leaf clone authority clone "$SANS" "$USES" "$DAYS" "$(role clone)"
leaf clone2 authority clone2 "$SANS" "$USES" "$DAYS" "$(role clone)"
leaf norole authority norole "$SANS" "$USES" "$DAYS"
leaf wrong-name authority other.example "dns_name = other.example" "$USES" "$DAYS" "$(role master)"
leaf wrong-name-clone authority other.example "dns_name = other.example" "$USES" "$DAYS" "$(role clone)"
leaf expired authority expired "$SANS" "$USES" "$past" "$(role clone)"
leaf expired-master authority expired-master "$SANS" "$USES" "$past" "$(role master)"
leaf not-yet-valid authority not-yet-valid "$SANS" "$USES" "$future" "$(role clone)"
leaf not-yet-master authority not-yet-master "$SANS" "$USES" "$future" "$(role master)"
leaf server-only authority server-only "$SANS" signing_key tls_www_server "$DAYS" "$(role clone)"
leaf client-only authority client-only "$SANS" signing_key tls_www_client "$DAYS" "$(role master)"
key no-signature --key-type=rsa --bits=2048
leaf no-signature authority no-signature "$SANS" encryption_key tls_www_server tls_www_client "$DAYS" "$(role clone)"
leaf wrong-ca other-authority master "$SANS" "$USES" "$DAYS" "$(role master)"
leaf wrong-ca-clone other-authority clone "$SANS" "$USES" "$DAYS" "$(role clone)"
leaf forged forged-authority master "$SANS" "$USES" "$DAYS" "$(role master)"
leaf under-clone clone under-clone "$SANS" "$USES" "$DAYS" "$(role master)"
chain under-clone clone

key site-sub
template site-sub "Site Issuing CA" ca cert_signing_key "path_len = 0" "$DAYS"
sign site-sub site-ca
bundle site-sub
leaf site site-sub site.example "$SANS" "$USES" "$DAYS"
chain site site-sub
leaf site-other site-sub other.example "dns_name = other.example" "$USES" "$DAYS"
chain site-other site-sub

self self site-shared "$SANS" "$USES" "$DAYS"
self self-other site-other-shared "$SANS" "$USES" "$DAYS"
self self-old site-old-shared "$SANS" "$USES" "$past"

key rsa --key-type=rsa --bits=3072
leaf rsa authority rsa "$SANS" "$USES" "$DAYS" "$(role clone)"
key weak --key-type=rsa --bits=1024
leaf weak authority weak "$SANS" "$USES" "$DAYS" "$(role clone)"

rm -f -- *.tmpl
