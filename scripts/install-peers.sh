#!/usr/bin/env bash
# Installs the Debian packages with the programs that the tests use, unless all of them are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# program:package
peers=(
  curl:curl haproxy:haproxy openssl:openssl
  # web pages
  ab:apache2-utils wrk:wrk chromium:chromium
  # databases
  /usr/lib/postgresql/15/bin/postgres:postgresql-15 redis-server:redis-server redis-cli:redis-tools
  /usr/sbin/mariadbd:mariadb-server
  # printing
  rlpr:rlpr
  # remote login
  netkit-rlogin:rsh-client rsh-redone-rlogin:rsh-redone-client plink:putty-tools script:bsdutils
  # file transfer
  lftp:lftp tnftp:tnftp python3:python3 /usr/sbin/vsftpd:vsftpd
)

# These packages conflict with others, or depend on a printing system, so they are unpacked into .cache/peers.
# program:package:libraries
beside=(
  usr/bin/lpr:lprng:libkrb5-3
  usr/lib/cups/backend-available/lpd:cups:libcups2
  usr/sbin/in.rlogind:rsh-redone-server:libpam0g
  usr/sbin/pure-ftpd:pure-ftpd:libsodium23,libcap2
)

missing=()
for peer in "${peers[@]}"; do
  command -v "${peer%%:*}" >/dev/null || missing+=("${peer#*:}")
done
packed=()
for peer in "${beside[@]}"; do
  IFS=: read -r program package libraries <<<"$peer"
  if [ -e ".cache/peers/$package/$program" ]; then continue; fi
  packed+=("$package")
  IFS=, read -ra needed <<<"$libraries"
  missing+=("${needed[@]}")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

if ! command -v apt-get >/dev/null; then
  echo "The tests need: ${missing[*]} ${packed[*]}. There is no apt-get here; install them by hand." >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update
"${as_root[@]}" apt-get install --yes --no-install-recommends "${missing[@]}"
for package in "${packed[@]}"; do
  mkdir -p .cache/peers
  (cd .cache/peers && apt-get download "$package" && dpkg -x "$package"_*.deb "$package" && rm "$package"_*.deb)
done
