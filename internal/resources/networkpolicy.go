package resources

import (
	"encoding/json"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Self is which pods are the operator's own. The zero value is for an operator outside of pods.
type Self struct {
	Namespace string
	Labels    map[string]string
}

// IsKnown reports whether the operator knows its own pods.
func (s Self) IsKnown() bool { return s.Namespace != "" && len(s.Labels) > 0 }

func (s Self) peer() networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.Namespace}},
		PodSelector:       &metav1.LabelSelector{MatchLabels: s.Labels},
	}
}

// NetworkPolicyName returns the name of the NetworkPolicy of the servers.
func NetworkPolicyName(cluster string) string { return cluster + "-server" }

// NetworkPolicy returns the NetworkPolicy of the servers. Who reaches what:
//
//	servers, agents   RPC and gossip
//	clients           HTTP, HTTPS, gRPC, DNS
//	the operator      HTTP, and HTTPS where there is or was TLS
//	Jobs of snapshots the same
//
// Probes come from the node of a pod, which no NetworkPolicy keeps out
// (https://kubernetes.io/docs/concepts/services-networking/network-policies).
func NetworkPolicy(c *v1alpha1.ConsulCluster, operator Self) *networkingv1.NetworkPolicy {
	servers := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: Selector(c)}}
	rules := []networkingv1.NetworkPolicyIngressRule{{
		From:  append([]networkingv1.NetworkPolicyPeer{servers}, c.Spec.NetworkPolicy.Agents...),
		Ports: append(policyPorts(serverPorts()), wanPorts(c)...),
	}}
	// A rule without anybody would be one for everybody.
	if clients := clients(c); len(clients) > 0 {
		rules = append(rules, networkingv1.NetworkPolicyIngressRule{From: clients, Ports: policyPorts(clientPorts(c))})
	}
	if operator.IsKnown() {
		rules = append(rules, networkingv1.NetworkPolicyIngressRule{
			From:  []networkingv1.NetworkPolicyPeer{operator.peer()},
			Ports: policyPorts(apiPorts(c)),
		})
	}
	if c.Spec.Snapshots.Destination != nil {
		jobs := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: SnapshotPodLabels(c.Name)}}
		rules = append(rules, networkingv1.NetworkPolicyIngressRule{
			From: []networkingv1.NetworkPolicyPeer{jobs}, Ports: policyPorts(apiPorts(c)),
		})
	}
	return &networkingv1.NetworkPolicy{
		ObjectMeta: meta(c, NetworkPolicyName(c.Name)),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: Selector(c)},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     rules,
		},
	}
}

// clients are those of the spec; all pods of the namespace if it names none.
func clients(c *v1alpha1.ConsulCluster) []networkingv1.NetworkPolicyPeer {
	if c.Spec.NetworkPolicy.Clients != nil {
		return c.Spec.NetworkPolicy.Clients
	}
	return []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}
}

// wanPorts are those for gossip between datacenters, if there is any.
func wanPorts(c *v1alpha1.ConsulCluster) []networkingv1.NetworkPolicyPort {
	said, _ := wanPort(c)
	number, isNumber := said.(json.Number)
	if !isNumber || portNumber(number) == 0 {
		return nil
	}
	at := ptr.To(intstr.FromInt32(portNumber(number)))
	return []networkingv1.NetworkPolicyPort{
		{Protocol: ptr.To(corev1.ProtocolTCP), Port: at}, {Protocol: ptr.To(corev1.ProtocolUDP), Port: at},
	}
}

// policyPorts are ports by number: some networks know no names, and open others instead (OVN-Kubernetes,
// https://github.com/ovn-kubernetes/ovn-kubernetes/issues/2117).
func policyPorts(ports []corev1.ServicePort) []networkingv1.NetworkPolicyPort {
	var all []networkingv1.NetworkPolicyPort
	for _, p := range ports {
		all = append(all, networkingv1.NetworkPolicyPort{Protocol: ptr.To(p.Protocol), Port: ptr.To(intstr.FromInt32(p.Port))})
	}
	return all
}

// AsksForNetworkPolicy returns whether a spec asks for a NetworkPolicy; nil if it says nothing. Whoever names somebody asks
// for one.
func AsksForNetworkPolicy(c *v1alpha1.ConsulCluster) *bool {
	asks := c.Spec.NetworkPolicy
	if asks.Enabled == nil && (asks.Clients != nil || asks.Agents != nil) {
		return ptr.To(true)
	}
	return asks.Enabled
}

// CheckNetworkPolicy returns why the API server would refuse those whom a spec lets in; nil if it would not.
func CheckNetworkPolicy(c *v1alpha1.ConsulCluster) error {
	if err := checkPeers(c.Spec.NetworkPolicy.Clients); err != nil {
		return fmt.Errorf("spec.networkPolicy.clients%w", err)
	}
	if err := checkPeers(c.Spec.NetworkPolicy.Agents); err != nil {
		return fmt.Errorf("spec.networkPolicy.agents%w", err)
	}
	return nil
}

func checkPeers(peers v1alpha1.Peers) error {
	for i, peer := range peers {
		if _, err := metav1.LabelSelectorAsSelector(peer.PodSelector); err != nil {
			return fmt.Errorf("[%d].podSelector: %w", i, err)
		}
		if _, err := metav1.LabelSelectorAsSelector(peer.NamespaceSelector); err != nil {
			return fmt.Errorf("[%d].namespaceSelector: %w", i, err)
		}
		if peer.IPBlock == nil {
			continue
		}
		if err := checkBlock(peer.IPBlock); err != nil {
			return fmt.Errorf("[%d].ipBlock.%w", i, err)
		}
	}
	return nil
}

func checkBlock(block *networkingv1.IPBlock) error {
	whole, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		return fmt.Errorf("cidr: %w", err)
	}
	for i, except := range block.Except {
		part, err := netip.ParsePrefix(except)
		if err != nil {
			return fmt.Errorf("except[%d]: %w", i, err)
		}
		if !whole.Contains(part.Addr()) || part.Bits() <= whole.Bits() {
			return fmt.Errorf("except[%d]: %s is not a part of %s", i, except, whole)
		}
	}
	return nil
}
