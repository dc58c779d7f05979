#!/usr/bin/env bash
# Installs the Chromium that the tests drive, if there is none: Debian's package.
# Needs root, or sudo without a password.
#
#   bash test/browser/install.sh
set -euo pipefail

if [[ -x ${CHROMIUM:-/usr/bin/chromium} ]]; then
  echo "Chromium is installed."
  exit
fi

as_root=()
((EUID == 0)) || as_root=(sudo --non-interactive)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update
"${as_root[@]}" apt-get install --yes --no-install-recommends chromium
