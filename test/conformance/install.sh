#!/usr/bin/env bash
# Installs the Connect project's conformance runner into the user's cache, with
# its suites and its protos, and generates the code of the conformance service.
# Needs Go and its module proxy, and `npm ci` before. What it generates is
# ignored by git: the protos are not ours.
#
#   bash test/conformance/install.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH="$PWD/node_modules/.bin:$PATH"

version=$(<test/conformance/runner.version)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/countersign-conformance/$version
module=connectrpc.com/conformance

if ! command -v go >/dev/null; then
  echo "There is no Go, which the conformance runner is built with." >&2
  exit 1
fi
if [[ ! -e $cache/complete ]]; then
  rm -rf "$cache"
  mkdir -p "$cache"
  # Outside of the repository, which is no Go module.
  (cd "$cache" && GOBIN=$cache go install "$module/cmd/connectconformance@$version")
  source=$(cd "$cache" && go list -m -f '{{.Dir}}' "$module@$version")
  cp -R "$source/proto" "$cache/proto"
  cp -R "$source/internal/app/connectconformance/testsuites/data" "$cache/suites"
  # The module cache is read-only, and so would the copies be.
  chmod -R u+w "$cache"
  # Last, so that an installation that was interrupted is made anew.
  touch "$cache/complete"
fi
rm -rf test/conformance/gen
buf generate "$cache/proto" --template test/conformance/buf.gen.yaml --path "$cache/proto/connectrpc"
echo "The conformance runner is installed: $version."
