#!/usr/bin/env bash
# Runs tests under the race detector: the units, the whole operator in the simulation on random walks (it is slow there,
# and goes through the same code again and again), and a minute of chaos, whose operator is the same program. What that
# one is told of races is left in .local/race.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v "$(go env CC)" >/dev/null || {
  echo "race: the race detector needs a C compiler, and there is no $(go env CC): install one, such as the Debian package gcc" >&2
  exit 1
}
export CGO_ENABLED=1
rm -rf .local/race
mkdir -p .local/race

tests() { bin/gotestsum --format=pkgname -- -race -vet=off -count=1 -timeout=20m "$@"; }

tests ./internal/... ./controllers/... ./test/lib/load/... ./test/lib/observer/... ./test/lib/harness/...
tests -run '^TestWalks$' ./test/suite/virtualtime

go test -race -vet=off -run '^$' ./test/cmd/chaos >/dev/null # compilers would disturb Consul
result=0
GORACE="log_path=$PWD/.local/race/report" tests -run '^TestChaosForAWhile$' ./test/cmd/chaos || result=1
if compgen -G '.local/race/report.*' >/dev/null; then # of the operator, which has no test to fail
  cat .local/race/report.*
  result=1
fi
exit $result
