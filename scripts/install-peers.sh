#!/usr/bin/env bash
# Installs the Debian packages whose programs the tests talk to. Does nothing where all of them are there.
set -euo pipefail

# program:package
peers=(curl:curl haproxy:haproxy openssl:openssl)

missing=()
for peer in "${peers[@]}"; do
  command -v "${peer%%:*}" >/dev/null || missing+=("${peer#*:}")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

if ! command -v apt-get >/dev/null; then
  echo "The tests need: ${missing[*]}. There is no apt-get here; install them by hand." >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update
"${as_root[@]}" apt-get install --yes --no-install-recommends "${missing[@]}"
