#!/usr/bin/env bash
# Looks for known vulnerabilities in what the operator calls. The database is a Go module, pinned in hack/tools/govulncheck
# and updated as every dependency is. With VULNDB=live it is the Go project's own of today, which has to be reached.
set -euo pipefail
cd "$(dirname "$0")/.."

# check FLAGS...: of many ways from the operator to a vulnerability one is enough.
check() { bin/govulncheck "$@" . | sed -E '/^ +#([2-9]|[0-9]{2,}):/d'; }

if [[ ${VULNDB:-} == live ]]; then
  check && exit
  echo "vulncheck: see above; without VULNDB=live the pinned database is asked, which needs no network" >&2 && exit 1
fi
osv=$(cd hack/tools/govulncheck && go mod download -json golang.org/x/vulndb | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/data/osv
mkdir -p .local
database=$(mktemp -d -p "$PWD/.local" vulndb.XXXXXX)
trap 'rm -rf "$database"' EXIT
bin/indexdb -vulns="$osv" -out="$database"
check -db="file://$database"
