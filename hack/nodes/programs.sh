# The processes of hack/cluster: the control plane on node 1, and how all of them are started and ended.
# shellcheck shell=bash

# start NODE NAME COMMAND...: in the background, in the node's network, with a log of its own.
start() {
  local node=$1 name=$2 && shift 2
  setsid nsenter --net="/run/netns/$(namespace "$node")" "$@" >"$DIR/logs/$name.log" 2>&1 </dev/null &
}

# await WHAT SECONDS COMMAND...
await() {
  local what=$1 end=$((SECONDS + $2)) && shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || { echo "hack/cluster: $what is not there in time, see $DIR/logs" >&2 && return 1; }
    sleep 0.2
  done
}

control_plane() {
  local pki=$DIR/pki
  start 1 etcd "$BIN/etcd" --data-dir="$DIR/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
    --listen-peer-urls=http://127.0.0.1:2380
  start 1 kube-apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --advertise-address="$(address 1)" --secure-port=6443 --service-cluster-ip-range=10.96.0.0/16 \
    --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged \
    --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
    --kubelet-preferred-address-types=InternalIP
  await kube-apiserver 60 kubectl get --raw /readyz
  start 1 kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$pki/controllers.conf" \
    --leader-elect=false --use-service-account-credentials --root-ca-file="$pki/ca.crt" \
    --service-account-private-key-file="$pki/sa.key" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
  start 1 kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$pki/scheduler.conf" --leader-elect=false
  start 1 provisioner "$BIN/provisioner" --kubeconfig="$pki/admin.conf" --dir="$DIR/volumes"
  cat >"$DIR/Corefile" <<CONF
.:53 {
  bind $(address 1)
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $pki/admin.conf admin
    ttl 5
  }
  cache 5
}
CONF
  start 1 coredns "$BIN/coredns" -conf "$DIR/Corefile"
}

# stop_all ends what runs, by process id, and unmounts and removes what the kernel holds of it.
stop_all() {
  local pid mount
  trap - ERR
  set +e
  for pid in $(processes_on_nodes); do kill "$pid" 2>/dev/null; done
  for pid in $(processes_in_pods); do kill -9 "$pid" 2>/dev/null; done
  await "the end of all processes" 5 none_on_nodes 2>/dev/null
  for pid in $(processes_on_nodes); do kill -9 "$pid" 2>/dev/null; done
  await "the end of all processes" 5 none_on_nodes
  for mount in $(awk -v dir="$DIR/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r); do
    umount -l "$mount"
  done
  # The kubelet's links to the logs of its pods; it knows no other folder for them.
  find /var/log/containers -lname "$DIR/*" -delete 2>/dev/null
  remove_cgroups
  remove_network
  rm -f "$DIR/nodes"
  set -e
}

none_on_nodes() { [[ -z $(processes_on_nodes) ]]; }
