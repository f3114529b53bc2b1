# A node of hack/cluster: containerd, kubelet, kube-proxy, kube-router for policies, and cgroups of its own.
# shellcheck shell=bash

cgroup() { echo "$PREFIX-node$1"; }

# make_cgroups NODE: the kubelet makes its pods' groups below these.
make_cgroups() {
  local controller file
  for controller in /sys/fs/cgroup/*/; do
    mkdir -p "$controller$(cgroup "$1")"
  done
  # A group of cpuset is of no use before it was told which processors and memory it has.
  for file in cpuset.cpus cpuset.mems; do
    [[ ! -e /sys/fs/cgroup/cpuset/$file ]] || cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$(cgroup "$1")/$file"
  done
  # All pods of a node together would be given as much of a busy machine as any one process outside of them is: Consul
  # deposes a leader that stands still for as long as its lease, half a second times raft_multiplier, 2.5 s by default.
  echo 16384 >"/sys/fs/cgroup/cpu/$(cgroup "$1")/cpu.shares"
}

pod_cgroups() { find /sys/fs/cgroup -depth -type d -path "*/$PREFIX-node*" 2>/dev/null; }

processes_in_pods() {
  local group
  for group in $(pod_cgroups); do cat "$group/cgroup.procs" 2>/dev/null; done | sort -u
}

remove_cgroups() {
  local group
  for group in $(pod_cgroups); do rmdir "$group" 2>/dev/null; done
}

start_node() {
  local node=$1 dir=$DIR/node$1
  mkdir -p "$dir"/{cni,containerd}
  make_cgroups "$node"
  cat >"$dir/cni/10-bridge.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "node$node", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {
    "type": "host-local", "dataDir": "$dir/ipam", "ranges": [[{"subnet": "10.244.$node.0/24"}]],
    "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  containerd_config "$dir" >"$dir/containerd/config.toml"
  PATH=$BIN:$PATH start "$node" "containerd$node" "$BIN/containerd" -c "$dir/containerd/config.toml"
  kubelet_config "$node" >"$dir/kubelet.yaml"
  await "containerd on node $node" 30 "$BIN/ctr" -a "$dir/containerd/ctd.sock" version
  load "$node" "$BIN/images/pause.tar"
  start "$node" "kubelet$node" "$BIN/kubelet" --config="$dir/kubelet.yaml" --kubeconfig="$DIR/pki/node$node.conf" \
    --hostname-override="node$node" --node-ip="$(address "$node")" --root-dir="$dir/kubelet"
  start "$node" "kube-proxy$node" "$BIN/kube-proxy" --kubeconfig="$DIR/pki/proxy.conf" --proxy-mode=iptables \
    --hostname-override="node$node" --cluster-cidr=10.244.0.0/16 --conntrack-max-per-core=0 \
    --conntrack-tcp-timeout-established=0s --conntrack-tcp-timeout-close-wait=0s
}

ready_node() {
  await "node $1" 60 kubectl wait --for=condition=Ready --timeout=1s "node/node$1"
  kubectl label node "node$1" "topology.kubernetes.io/zone=zone$1" >/dev/null
  # The plugins of the pods' network know no NetworkPolicy. It looks for its Node when it starts.
  start "$1" "kube-router$1" "$BIN/kube-router" --run-firewall --run-router=false --run-service-proxy=false \
    --kubeconfig="$DIR/pki/admin.conf" --hostname-override="node$1" --service-cluster-ip-range=10.96.0.0/16 --health-port=0
}

containerd_config() {
  cat <<TOML
version = 3
root = "$1/containerd/root"
state = "$1/containerd/state"
[grpc]
  address = "$1/containerd/ctd.sock"
[ttrpc]
  address = "$1/containerd/ctd.ttrpc"
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  # Where this machine is a container itself, its processes may not be preferred over what is outside.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$1/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    runtime_path = "$BIN/containerd-shim-runc-v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
      Root = "$1/runc"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "pause:local"
TOML
}

kubelet_config() {
  cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$(cgroup "$1")
enforceNodeAllocatable: []
failSwapOn: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "$DIR/pki/ca.crt"}}
authorization: {mode: Webhook}
clusterDNS: ["$(address 1)"]
clusterDomain: cluster.local
resolvConf: ""
# By default all nodes would share a folder, and remove each other's logs from it.
podLogsDir: "$DIR/node$1/pods"
tlsCertFile: "$DIR/pki/node$1.crt"
tlsPrivateKeyFile: "$DIR/pki/node$1.key"
containerRuntimeEndpoint: "unix://$DIR/node$1/containerd/ctd.sock"
# Images come from archives: one that is collected when the disk fills up would be gone for good.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%"}
YAML
}

# image NAME FILE=PATH...: an image of static programs, as an archive in bin/images.
image() {
  local name=$1 && shift
  mkdir -p "$BIN/images"
  "$BIN/image" --name="$name:local" --out="$BIN/images/$name.tar" --entrypoint="/$name" "$@"
}

# load NODE ARCHIVE
load() { "$BIN/ctr" -a "$DIR/node$1/containerd/ctd.sock" -n k8s.io images import "$2" >>"$DIR/logs/images.log" 2>&1; }

load_everywhere() {
  local node archive
  [[ -e $DIR/nodes ]] || die "there is no cluster: hack/cluster up"
  for archive in "$@"; do
    for ((node = 1; node <= $(cat "$DIR/nodes"); node++)); do
      load "$node" "$archive" || die "loading $archive on node $node failed, see $DIR/logs/images.log"
    done
  done
}
