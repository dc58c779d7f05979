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

as_root=()
((EUID == 0)) || as_root=(sudo --non-interactive)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update
"${as_root[@]}" apt-get install --yes --no-install-recommends postgresql
