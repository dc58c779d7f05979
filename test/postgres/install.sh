#!/usr/bin/env bash
# Installs the PostgreSQL that the tests start, if there is none: Debian's and
# Ubuntu's package. Needs root, or sudo without a password.
#
#   bash test/postgres/install.sh
set -euo pipefail

if command -v initdb postgres >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; then
  echo "PostgreSQL is installed."
  exit
fi

# Through env: sudo does not hand on what is exported.
apt_get=(env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=5 -o DPkg::Lock::Timeout=120)
((EUID == 0)) || apt_get=(sudo --non-interactive "${apt_get[@]}")
"${apt_get[@]}" update
"${apt_get[@]}" install --yes --no-install-recommends postgresql
