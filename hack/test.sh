#!/usr/bin/env bash
# Runs the named suites and ends with a total. Further flags for `go test` come from ARGS,
# such as ARGS='-ginkgo.focus=rollback'.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
[[ -t 1 ]] || export GINKGO_NO_COLOR=TRUE
totals=()
failed=0

# suite NAME COMMAND...: runs the command with its output visible and remembers how it went.
suite() {
  local name=$1 start=$SECONDS result=ok
  shift
  echo "=== $name"
  "$@" 2>&1 | tee "$log" || { result=FAILED failed=1; }
  totals+=("$(printf '%-12s %-7s packages ok %d, failed %d, in %d min %d s' "$name" "$result" \
    "$(grep -c '^ok ' "$log" || true)" "$(grep -c $'^FAIL\t' "$log" || true)" \
    $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)))")
}

# The packages that start processes; all others need nothing but Go.
integration_packages() { go list ./test/localcluster/... ./test/integration/...; }

unit() {
  local all slow
  all=$(go list ./...) && slow=$(integration_packages) || return
  # shellcheck disable=SC2046,SC2086 # one word for each package and flag
  go test -count=1 -timeout=20m ${ARGS:-} $(grep -vxF "$slow" <<<"$all")
}

# One package after another and verbose, so that a person sees each step as it happens.
integration() {
  local packages package verbose status=0
  packages=$(integration_packages) || return
  for package in $packages; do
    verbose=-v
    case $(go list -f '{{.TestImports}} {{.XTestImports}}' "$package") in
    '[] []') continue ;;
    *github.com/onsi/ginkgo*) verbose='-v -ginkgo.v' ;;
    esac
    # shellcheck disable=SC2086 # one word for each flag
    go test -count=1 -timeout=40m "$package" $verbose ${ARGS:-} || status=1
  done
  return $status
}

for name in "$@"; do
  suite "$name" "$name"
done
echo "=== total"
printf '%s\n' "${totals[@]}"
exit $failed
