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

# Through env: sudo does not hand on what is exported.
apt_get=(env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=5 -o DPkg::Lock::Timeout=120)
((EUID == 0)) || apt_get=(sudo --non-interactive "${apt_get[@]}")
"${apt_get[@]}" update
"${apt_get[@]}" install --yes --no-install-recommends python3 python3-venv
