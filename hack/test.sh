#!/usr/bin/env bash
# Runs one suite of Go tests. Further flags for `go test` come from ARGS, such as ARGS='-run TestRollback'. A test that fails
# has failed: none is run again. With SHORT=1 those that take long are left out. `go vet` is a part of `make verify`.
set -euo pipefail
cd "$(dirname "$0")/.."

# Packages that start processes; all others need nothing but Go.
stories_packages=./test/suite/integration/...
others_packages="./test/cmd/benchscale/... ./test/cmd/chaos/... ./test/suite/conformance/... ./test/lib/localcluster/..."
# The whole operator in the simulation: it only computes.
stack_packages=./test/suite/virtualtime/...

unit() {
  local all other
  # shellcheck disable=SC2086 # one word for each package
  all=$(go list ./...) && other=$(go list $stories_packages $others_packages $stack_packages)
  # shellcheck disable=SC2046 # one word for each package
  quietly -parallel=6 $(grep -vxF "$other" <<<"$all") # some wait for a server of Consul
}

stories() {
  compiled
  verbosely 1 $stories_packages
}

# They wait for Consul's timers most of the time, so three packages run at a time.
others() {
  compiled
  # shellcheck disable=SC2086
  verbosely 3 $others_packages
}

# The operator around the planner, a part of what `make sim-operator` tells, and some thousand states of each scenario of
# `make sim`.
sim() {
  quietly $stack_packages
  go run ./test/cmd/explore -states=2000
}

# compiled compiles all suites: compilers keep a machine busy, and real servers notice that.
compiled() {
  # shellcheck disable=SC2086
  go test -vet=off -run='^$' $stories_packages $others_packages $stack_packages ./test/cmd/explore >/dev/null
}

# quietly PACKAGES: a line for each package.
quietly() {
  # shellcheck disable=SC2086 # ARGS are flags
  bin/gotestsum --format=pkgname -- -vet=off -count=1 -timeout=40m ${SHORT:+-short} ${ARGS:-} "$@"
}

# verbosely N PACKAGES: N packages at a time, and a person sees each step as it happens.
verbosely() {
  # shellcheck disable=SC2086
  bin/gotestsum --format=standard-verbose -- -v -vet=off "-p=$1" -count=1 -timeout=40m ${SHORT:+-short} ${ARGS:-} "${@:2}"
}

"$1"
