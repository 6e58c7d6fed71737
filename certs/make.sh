#!/usr/bin/env bash
# Makes the certificates of the tests anew: a CA, and leaves under it. Nothing here protects anything: the keys are public.
#
#   ca              signs the rest; clients of the tests trust it and nothing else
#   vestibule.test  vestibule.test, *.vestibule.test, localhost, 127.0.0.1, ::1
#   other.test      other.test, *.other.test: the second name of tests that choose by SNI
#   expired         *.vestibule.test, ended in 2021
#   saml-idp, saml-idp-next, saml-sp   RSA, self-signed: what a SAML provider signs with, now and after a change, and our own key there
set -euo pipefail
cd "$(dirname "$0")"

days=36500 # 100 years: a test must not fail because a year went by
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# key NAME: a fresh P-256 key
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$scratch/$1.key" 2>/dev/null; }

# keep NAME WHAT: into this folder, with a first line that says what it is
keep() {
	{ echo "# test only: $2"; openssl x509 -in "$scratch/$1.pem"; } >"$1.pem"
	{ echo "# test only: private key of $1.pem, published with the source"; cat "$scratch/$1.key"; } >"$1.key"
}

# leaf NAME SUBJECT_ALT_NAMES START END: signed by the CA; `openssl ca` because it alone takes a start in the past
leaf() {
	key "$1"
	openssl req -new -key "$scratch/$1.key" -subj "/O=Vestibule tests/CN=$1" -out "$scratch/$1.csr"
	cat >"$scratch/$1.cnf" <<-CONFIG
		[ca]
		default_ca = here
		[here]
		database = $scratch/index
		new_certs_dir = $scratch
		rand_serial = yes
		default_md = sha256
		policy = any
		x509_extensions = leaf
		[any]
		organizationName = optional
		commonName = supplied
		[leaf]
		basicConstraints = critical, CA:false
		keyUsage = critical, digitalSignature
		extendedKeyUsage = serverAuth
		subjectAltName = $2
		subjectKeyIdentifier = hash
		authorityKeyIdentifier = keyid
	CONFIG
	: >"$scratch/index"
	openssl ca -batch -notext -config "$scratch/$1.cnf" -cert "$scratch/ca.pem" -keyfile "$scratch/ca.key" \
		-startdate "$3" -enddate "$4" -in "$scratch/$1.csr" -out "$scratch/$1.pem" 2>/dev/null
}

key ca
openssl req -new -x509 -key "$scratch/ca.key" -days "$days" -subj "/O=Vestibule tests/CN=Vestibule test CA" \
	-addext "basicConstraints = critical, CA:true, pathlen:0" -addext "keyUsage = critical, keyCertSign, cRLSign" -out "$scratch/ca.pem"
keep ca "the CA that the tests trust"

from=20200101000000Z
until=21191231235959Z
leaf vestibule.test "DNS:vestibule.test, DNS:*.vestibule.test, DNS:localhost, IP:127.0.0.1, IP:::1" $from $until
keep vestibule.test "vestibule.test, *.vestibule.test, localhost, 127.0.0.1, ::1"

leaf other.test "DNS:other.test, DNS:*.other.test" $from $until
keep other.test "other.test, *.other.test"

leaf expired "DNS:vestibule.test, DNS:*.vestibule.test" $from 20211231235959Z
keep expired "*.vestibule.test, ended on 2021-12-31"

for name in saml-idp saml-idp-next saml-sp; do
	openssl req -new -x509 -newkey rsa:2048 -nodes -sha256 -days "$days" -subj "/O=Vestibule tests/CN=$name" -keyout "$scratch/$name.key" -out "$scratch/$name.pem" 2>/dev/null
	keep "$name" "a key for SAML messages"
done
