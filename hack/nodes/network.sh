# The network of hack/cluster: node 1 has a bridge to which the others are connected. Nothing leads out of it.
# shellcheck shell=bash

namespace() { echo "$PREFIX-$1"; }
address() { echo "100.64.0.1$1"; }

# on NODE COMMAND...: runs it in the node's network.
on() {
  local node=$1 && shift
  nsenter --net="/run/netns/$(namespace "$node")" "$@"
}

network() {
  local nodes=$1 node other
  for ((node = 1; node <= nodes; node++)); do
    ip netns add "$(namespace "$node")"
    on "$node" ip link set lo up
    on "$node" sysctl -qw net.ipv4.ip_forward=1
    if ((node == 1)); then
      on 1 ip link add node0 type bridge
      on 1 ip addr add "$(address 1)/24" dev node0
      on 1 ip link set node0 up
    else
      ip link add "$PREFIX$node" type veth peer name eth0 netns "$(namespace "$node")"
      ip link set "$PREFIX$node" netns "$(namespace 1)"
      on 1 ip link set "$PREFIX$node" master node0 up
      on "$node" ip addr add "$(address "$node")/24" dev eth0
      on "$node" ip link set eth0 up
    fi
  done
  for ((node = 1; node <= nodes; node++)); do
    for ((other = 1; other <= nodes; other++)); do
      ((node == other)) || on "$node" ip route add "10.244.$other.0/24" via "$(address "$other")"
    done
    # Without a default route the kubelet finds no address of its node. Node 1 itself reaches Services by a route that
    # is good for nothing but to get as far as kube-proxy's rules.
    if ((node == 1)); then
      on 1 ip route add blackhole default
      on 1 ip route add 10.96.0.0/16 dev node0
    else
      on "$node" ip route add default via "$(address 1)"
    fi
  done
}

# link NODE up|down: a node that is cut off goes on, and nobody hears of it.
link() {
  may_be_hit "$1"
  [[ $2 == up || $2 == down ]] || die "$2: up or down"
  on 1 ip link set "$PREFIX${1#node}" "$2"
}

# delay NODE TIME|none: for how long what the node sends is held back, such as 50ms. The kernel hands it to a program of
# ours, because netem is not everywhere; should that end, packets pass without it.
delay() {
  local node=${1#node} ended='' rule=(POSTROUTING -o eth0 -j NFQUEUE --queue-num 0 --queue-bypass)
  may_be_hit "$1"
  if [[ -e $DIR/delay$node.pid ]]; then
    kill "$(cat "$DIR/delay$node.pid")" 2>/dev/null || ended=yes
    rm "$DIR/delay$node.pid"
    on "$node" iptables -w -t mangle -D "${rule[@]}"
    [[ -z $ended ]] || die "the delay of node$node had ended by itself, see $DIR/logs"
    await "the end of the former delay of node$node" 5 not_delayed "$node"
  fi
  [[ $2 != none ]] || return 0
  start "$node" "delay$node" "$BIN/delay" --by="$2"
  echo $! >"$DIR/delay$node.pid"
  on "$node" iptables -w -t mangle -A "${rule[@]}"
  await "the delay of node$node" 5 delayed "$node"
}

# delayed NODE: somebody takes the packets of queue 0.
delayed() { on "$1" grep -q '^ *0 ' /proc/net/netfilter/nfnetlink_queue; }
not_delayed() { ! delayed "$1"; }

# may_be_hit NODE: the control plane is on the first one.
may_be_hit() {
  [[ -e $DIR/nodes ]] || die "there is no cluster: hack/cluster up"
  [[ ${1#node} =~ ^[2-5]$ && ${1#node} -le $(cat "$DIR/nodes") ]] || die "$1: all nodes but node1 can be cut off or slow"
}

# The namespaces that are there.
networks() { ip netns list 2>/dev/null | awk -v prefix="$PREFIX-" 'index($1, prefix) == 1 { print $1 }'; }

# Processes that run in the nodes' networks: everything but what is in pods.
processes_on_nodes() {
  local name
  for name in $(networks); do
    ip netns pids "$name"
  done
}

remove_network() {
  local name
  for name in $(networks); do
    ip netns delete "$name"
  done
}
