#!/usr/bin/env bash
# Installs the Python that runs Flower in the tests, if there is none with
# virtual environments: Debian's and Ubuntu's packages. Needs root, or sudo
# without a password. Flower itself is installed by the tests, with pip.
#
#   bash test/interop/install.sh
set -euo pipefail

if "${PYTHON:-python3}" -c "import ensurepip, venv" 2>/dev/null; then
  echo "Python is installed: $("${PYTHON:-python3}" --version)."
  exit
fi

as_root=()
((EUID == 0)) || as_root=(sudo --non-interactive)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update
"${as_root[@]}" apt-get install --yes --no-install-recommends python3 python3-venv
