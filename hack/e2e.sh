#!/usr/bin/env bash
# Runs the end-to-end tests on the cluster of KUBECONFIG, or else on real nodes of its own, which takes root on Linux.
set -euo pipefail
cd "$(dirname "$0")/.."

consuls=(1.22.0 1.22.7)

if [[ -z ${KUBECONFIG:-} ]] && ! reason=$(hack/cluster check 2>&1); then
  echo "SKIPPED: the end-to-end tests need real nodes. $reason"
  exit 0
fi
go run ./hack/buildtools helm kubectl image "${consuls[@]/#/consul-}"
make image
archives=(bin/images/consul-operator.tar)
# What Consul's own image has and a recovery needs: a shell and some programs.
applets=()
if busybox=$(command -v busybox); then
  for applet in sh cp mkdir mv rm sync touch; do applets+=("$busybox=/bin/$applet"); done
fi
for version in "${consuls[@]}"; do
  archives+=("bin/images/consul-$version.tar")
  bin/image --name="hashicorp/consul:$version" --out="${archives[-1]}" --user=100:1000 "bin/consul-$version=/bin/consul" "${applets[@]}"
done
go test -c -o bin/e2e.test ./test/e2e
nodes=()
if [[ -z ${KUBECONFIG:-} ]]; then
  hack/cluster down
  trap 'hack/cluster down' EXIT
  hack/cluster up 4
  hack/cluster load "${archives[@]}"
  nodes=("$PWD/hack/cluster" exec)
fi
# A spec that fails is run once more, and named in the end: one that is named often is broken. (Consul deposes a leader
# when its machine stands still for half a second, and these specs see it.)
flags=(-test.v -test.timeout=40m -ginkgo.flake-attempts=2)
[[ -t 1 ]] || flags+=(-ginkgo.no-color)
# shellcheck disable=SC2086 # ARGS are flags, such as -ginkgo.focus=...
(cd test/e2e && "${nodes[@]}" ../../bin/e2e.test "${flags[@]}" ${ARGS:-})
