# hack/cluster by kind, where Docker is there and root on Linux is not. It was never tried on the machine where the rest was
# written. Pods and Services are not reached from outside of it, so `exec` and make test-e2e do without.
# shellcheck shell=bash

check() { die "with kind, pods and Services are not reached from here: be root on Linux, or point KUBECONFIG at a cluster of yours"; }

up() {
  local nodes=${1:-3} node
  [[ $nodes =~ ^[1-5]$ ]] || die "$nodes: say how many nodes, from 1 to 5"
  [[ ! -e $DIR/nodes ]] || die "there is a cluster already: hack/cluster down"
  go run ./hack/buildtools kind kubectl
  mkdir -p "$DIR"
  {
    printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n'
    for ((node = 1; node <= nodes; node++)); do
      printf -- '- {role: worker, labels: {topology.kubernetes.io/zone: zone%d}}\n' "$node"
    done
  } >"$DIR/kind.yaml"
  echo "$nodes" >"$DIR/nodes"
  "$BIN/kind" create cluster --name="$PREFIX" --config="$DIR/kind.yaml" --kubeconfig="$DIR/kubeconfig" --wait=2m
}

down() {
  [[ -e $DIR/nodes ]] || return 0
  "$BIN/kind" delete cluster --name="$PREFIX" --kubeconfig="$DIR/kubeconfig"
  rm -rf "$DIR"
}

kubectl() { "$BIN/kubectl" --kubeconfig="$DIR/kubeconfig" "$@"; }

on() { check; }

load_everywhere() {
  local archive
  for archive in "$@"; do "$BIN/kind" load image-archive --name="$PREFIX" "$archive"; done
}
