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

# Through env: sudo does not hand on what is exported.
apt_get=(env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=5 -o DPkg::Lock::Timeout=120)
((EUID == 0)) || apt_get=(sudo --non-interactive "${apt_get[@]}")
"${apt_get[@]}" update
"${apt_get[@]}" install --yes --no-install-recommends chromium
