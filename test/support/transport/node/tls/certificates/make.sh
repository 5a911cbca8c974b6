#!/usr/bin/env bash
# Creates the certificates of the tests, valid for a hundred years. Nothing else trusts them.
set -euo pipefail
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
touch "$work/index"
cat >"$work/config" <<END
[ca]
default_ca = one
[one]
database = $work/index
new_certs_dir = $work
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copyall
[any]
commonName = supplied
END

# request file name extension
request() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$work/csr" \
    -subj "/CN=$2" -addext "$3"
}

# sign file last-day [who signs]
sign() {
  openssl ca -batch -notext -config "$work/config" -in "$work/csr" -out "$1.pem" \
    -startdate 20200101000000Z -enddate "$2" "${@:3}"
}

issue() {
  request "$1" "$2" "subjectAltName=$3"
  sign "$1" "$4" -cert authority.pem -keyfile authority.key
}

request authority authority basicConstraints=critical,CA:true
sign authority 21200101000000Z -selfsign -keyfile authority.key
issue server localhost DNS:localhost,IP:127.0.0.1,IP:::1 21200101000000Z
issue other other.test DNS:other.test,IP:127.0.0.1 21200101000000Z
issue client somebody DNS:somebody 21200101000000Z
issue expired localhost DNS:localhost,IP:127.0.0.1 20210101000000Z
request stranger stranger subjectAltName=DNS:localhost,IP:127.0.0.1
sign stranger 21200101000000Z -selfsign -keyfile stranger.key
rm authority.key
