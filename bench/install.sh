#!/usr/bin/env bash
# Installs h2load, which makes the benchmark's calls, if it is not there:
# Debian's and Ubuntu's package. Needs root, or sudo without a password.
#
#   bash bench/install.sh
set -euo pipefail

if command -v h2load >/dev/null; then
  echo "h2load is installed: $(h2load --version)."
  exit
fi

as_root=()
((EUID == 0)) || as_root=(sudo --non-interactive)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update
"${as_root[@]}" apt-get install --yes --no-install-recommends nghttp2-client
