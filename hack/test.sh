#!/usr/bin/env bash
# Runs the named suites, one after the other, and ends with what failed and a total. Two that are joined by a `+` run at a
# time: the second, which only computes, gives way to the first, which mostly waits. Further flags for `go test` come from
# ARGS, such as ARGS='-run TestRollback'. `go vet` is a part of `make verify`.
set -euo pipefail
cd "$(dirname "$0")/.."

# What suites leave behind: totals, failed and rerun have a line for each.
left=$(mktemp -d)
beside=
trap 'end_beside; rm -rf "$left"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
touch "$left"/{totals,failed,rerun}

# suite NAME: runs it with its output visible and takes down how it went.
suite() {
  local name=$1 start=$SECONDS result=ok
  echo "=== $name"
  "$name" || { result=FAILED && echo "$name" >>"$left/failed"; }
  printf '%-12s %-7s in %d min %d s\n' "$name" "$result" \
    $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) >>"$left/totals"
}

# pair WAITS COMPUTES: what the second one says follows when the first has ended.
pair() {
  local said=$left/$2.said
  echo "=== $2 begins beside $1"
  set -m # a process group of its own, to be ended as a whole
  (renice -n 19 "$BASHPID" >/dev/null && suite "$2") &>"$said" </dev/null &
  beside=$!
  set +m
  suite "$1"
  echo "=== waiting for $2"
  wait "$beside" || echo "$2" >>"$left/failed"
  beside=
  cat "$said"
}

end_beside() { [[ -z $beside ]] || kill -- "-$beside" 2>/dev/null || true; }

# Packages that start processes; all others need nothing but Go.
stories_packages=./test/suite/integration/...
others_packages="./test/cmd/chaos/... ./test/suite/conformance/... ./test/lib/localcluster/..."
# The whole operator in the simulation: it only computes.
stack_packages=./test/suite/virtualtime/...

unit() {
  local all other
  # shellcheck disable=SC2086 # one word for each package
  all=$(go list ./...) && other=$(go list $stories_packages $others_packages $stack_packages) || return
  # shellcheck disable=SC2046,SC2086 # one word for each package and flag
  bin/gotestsum --format=pkgname -- -vet=off -count=1 -timeout=20m ${ARGS:-} $(grep -vxF "$other" <<<"$all")
}

# The planner and the operator around it, in a part of the states that `make sim` explores: some thousand of each scenario.
sim() {
  local result=0
  # shellcheck disable=SC2086
  bin/gotestsum --format=pkgname -- -vet=off -count=1 -timeout=20m ${ARGS:-} $stack_packages || result=1
  go run ./test/cmd/explore -states=3000 || result=1
  return $result
}

stories() {
  compiled
  verbosely 1 $stories_packages
}

# They wait for Consul's timers most of the time, so two packages run at a time.
others() {
  compiled
  # shellcheck disable=SC2086
  verbosely 2 $others_packages
}

# compiled : compilers keep a machine busy, and real servers notice that.
compiled() {
  # shellcheck disable=SC2086
  go test -vet=off -run='^$' $stories_packages $others_packages $stack_packages ./test/cmd/explore >/dev/null
}

# verbosely N PACKAGES: tests N packages at a time, and a person sees each step as it happens.
#
# Consul deposes a leader when its machine stands still for half a second, and these tests see it. Up to three that fail
# are run once more, and named in the end: one that is named often is broken.
verbosely() {
  local report result=0
  report=$(mktemp -p "$left")
  # shellcheck disable=SC2086
  bin/gotestsum --format=standard-verbose --hide-summary=skipped --packages="${*:2}" \
    --rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-run-root-test --rerun-fails-report="$report" \
    -- -v -vet=off "-p=$1" -count=1 -timeout=40m ${ARGS:-} || result=1
  cat "$report" >>"$left/rerun"
  return $result
}

for name in "$@"; do
  case $name in
  *+*) pair "${name%+*}" "${name#*+}" ;;
  *) suite "$name" ;;
  esac
done
echo "=== total"
cat "$left/totals"
sed 's/^/run again: /' "$left/rerun"
[ ! -s "$left/failed" ]
