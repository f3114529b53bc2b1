#!/usr/bin/env bash
# Runs what needs real nodes: `specs`, the end-to-end tests, on the cluster of KUBECONFIG or else on nodes of its own, which
# take root on Linux; `chaos`, faults at random, on nodes of its own only. Further arguments are flags of either.
set -euo pipefail
cd "$(dirname "$0")/.."

what=$1 && shift
consuls=(1.22.0 1.22.7)
archives=()

# skip_unless_nodes ends the script on a machine that cannot have nodes.
skip_unless_nodes() {
  local reason
  reason=$(hack/cluster check 2>&1) && return
  echo "SKIPPED: this needs real nodes. $reason" | tee "${PARTS:-/dev/null}"
  exit 0
}

# consul_images: with what Consul's own image has and a recovery needs, a shell and some programs.
consul_images() {
  local version applet busybox applets=()
  if busybox=$(command -v busybox); then
    if ldd "$busybox" &>/dev/null; then
      echo "$busybox is not linked statically: install the Debian package busybox-static" >&2 && exit 1
    fi
    for applet in sh cat cp mkdir mv rm sleep sync touch; do applets+=("$busybox=/bin/$applet"); done
  fi
  go run ./hack/buildtools kubectl image "${consuls[@]/#/consul-}"
  for version in "${consuls[@]}"; do
    archives+=("bin/images/consul-$version.tar")
    bin/image --name="hashicorp/consul:$version" --out="${archives[-1]}" --user=100:1000 "bin/consul-$version=/bin/consul" \
      "${applets[@]}"
  done
}

# store_image: an object store, for snapshots.
store_image() {
  go run ./hack/buildtools versitygw image
  archives+=(bin/images/versitygw.tar)
  bin/image --name=versitygw:local --out="${archives[-1]}" --entrypoint=/versitygw bin/versitygw=/versitygw
}

# nodes N: brings them up with all images; they end with this script.
nodes() {
  hack/cluster down
  trap 'hack/cluster down' EXIT
  hack/cluster up "$1"
  hack/cluster load "${archives[@]}"
}

specs() {
  local on_nodes=() flags
  [[ -n ${KUBECONFIG:-} ]] || skip_unless_nodes
  consul_images
  store_image
  go run ./hack/buildtools helm
  make image && archives+=(bin/images/consul-operator.tar)
  go test -c -o bin/e2e.test ./test/suite/e2e
  if [[ -z ${KUBECONFIG:-} ]]; then
    nodes 4
    on_nodes=("$PWD/hack/cluster" exec)
  fi
  flags=(-test.v -test.timeout=40m "$@")
  [[ -t 1 ]] || flags+=(-ginkgo.no-color)
  # shellcheck disable=SC2086 # ARGS are flags, such as -ginkgo.focus=...
  (cd test/suite/e2e && "${on_nodes[@]}" ../../../bin/e2e.test "${flags[@]}" ${ARGS:-})
}

chaos() {
  skip_unless_nodes
  consul_images
  go run ./hack/buildtools chaos
  make image && archives+=(bin/images/consul-operator.tar) # for the Jobs of snapshots
  nodes 4
  # The operator is a process beside it, made of the same program, so that it can be killed.
  hack/cluster exec bin/chaos --nodes="$PWD/.local/nodes/pki/admin.conf" "$@" || {
    rm -rf .local/chaos-nodes-logs
    cp -r .local/nodes/logs .local/chaos-nodes-logs # the nodes go
    for node in 1 2 3 4; do cp -r ".local/nodes/node$node/pods" ".local/chaos-nodes-logs/pods-on-node$node"; done
    echo "logs of the nodes and their pods: .local/chaos-nodes-logs" >&2 && exit 1
  }
}

"$what" "$@"
