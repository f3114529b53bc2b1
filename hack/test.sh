#!/usr/bin/env bash
# Runs the named suites, and ends with what failed and a total. Further flags for `go test` come from ARGS, such as
# ARGS='-run TestRollback'. `go vet` is a part of `make verify`.
set -euo pipefail
cd "$(dirname "$0")/.."

totals=()
failed=0
rerun=$(mktemp)
trap 'rm -f "$rerun"' EXIT

# suite NAME: runs it with its output visible and remembers how it went.
suite() {
  local name=$1 start=$SECONDS result=ok
  echo "=== $name"
  "$name" || result=FAILED failed=1
  totals+=("$(printf '%-12s %-7s in %d min %d s' "$name" "$result" \
    $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)))")
}

# The packages that start processes; all others need nothing but Go.
integration_packages() { go list ./test/localcluster/... ./test/integration/... ./test/chaos/... ./test/sim/consul/...; }

unit() {
  local all slow
  all=$(go list ./...) && slow=$(integration_packages) || return
  # shellcheck disable=SC2046,SC2086 # one word for each package and flag
  bin/gotestsum --format=pkgname -- -vet=off -count=1 -timeout=20m ${ARGS:-} $(grep -vxF "$slow" <<<"$all")
}

# A part of what `make sim` explores: some thousand states of each scenario.
sim() { go run ./test/sim/explore -states=3000; }

# Verbose, so that a person sees each step as it happens. The stories come first and alone; what waits for Consul's timers
# most of the time runs two packages at a time after them. All are compiled together before that.
#
# Consul deposes a leader when its machine stands still for half a second, and these tests see it. Up to three that fail
# are run once more, and named in the end: one that is named often is broken.
integration() {
  local packages result=0
  packages=$(integration_packages) || return
  # shellcheck disable=SC2086 # one word for each package and flag
  go test -vet=off -run='^$' $packages >/dev/null || return
  together 1 ./test/integration/... || result=1
  together 2 ./test/chaos/... ./test/sim/consul/... ./test/localcluster/... || result=1
  return $result
}

# together N PACKAGES: tests N packages at a time.
together() {
  local report result=0
  report=$(mktemp)
  # shellcheck disable=SC2086
  bin/gotestsum --format=standard-verbose --hide-summary=skipped --packages="${*:2}" \
    --rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-run-root-test --rerun-fails-report="$report" \
    -- -v -vet=off "-p=$1" -count=1 -timeout=40m ${ARGS:-} || result=1
  cat "$report" >>"$rerun" && rm -f "$report"
  return $result
}

for name in "$@"; do
  suite "$name"
done
echo "=== total"
printf '%s\n' "${totals[@]}"
sed 's/^/run again: /' "$rerun"
exit $failed
