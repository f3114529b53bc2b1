#!/usr/bin/env bash
# Runs the named suites, and ends with what failed and a total. Further flags for `go test` come from ARGS, such as
# ARGS='-run TestRollback'.
set -euo pipefail
cd "$(dirname "$0")/.."

totals=()
failed=0

# suite NAME: runs it with its output visible and remembers how it went.
suite() {
  local name=$1 start=$SECONDS result=ok
  echo "=== $name"
  "$name" || result=FAILED failed=1
  totals+=("$(printf '%-12s %-7s in %d min %d s' "$name" "$result" \
    $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)))")
}

# The packages that start processes; all others need nothing but Go.
integration_packages() { go list ./test/localcluster/... ./test/integration/... ./test/sim/consul/...; }

unit() {
  local all slow
  all=$(go list ./...) && slow=$(integration_packages) || return
  # shellcheck disable=SC2046,SC2086 # one word for each package and flag
  bin/gotestsum --format=pkgname -- -count=1 -timeout=20m ${ARGS:-} $(grep -vxF "$slow" <<<"$all")
}

# A part of what `make sim` explores: some thousand states of each scenario.
sim() { go run ./test/sim/explore -states=3000; }

# One package after another and verbose, so that a person sees each step as it happens. They are compiled all at once
# before that.
integration() {
  local packages
  packages=$(integration_packages) || return
  # shellcheck disable=SC2086 # one word for each package and flag
  go test -run='^$' $packages >/dev/null &&
    bin/gotestsum --format=standard-verbose --hide-summary=skipped -- -v -p=1 -count=1 -timeout=40m ${ARGS:-} $packages
}

for name in "$@"; do
  suite "$name"
done
echo "=== total"
printf '%s\n' "${totals[@]}"
exit $failed
