package resources_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// A rule without peers, or without ports, lets everybody in, or to everywhere.
func TestNoRuleIsForAll(t *testing.T) {
	for name, test := range map[string]struct {
		clients v1alpha1.Peers
		self    resources.Self
		rules   int
	}{
		"servers, clients, operator": {nil, operator, 3},
		"no clients":                 {v1alpha1.Peers{}, operator, 2},
		"no operator":                {nil, resources.Self{}, 2},
		"an operator without labels": {nil, resources.Self{Namespace: "operators"}, 2},
		"servers alone":              {v1alpha1.Peers{}, resources.Self{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := plain()
			c.Spec.NetworkPolicy.Clients = test.clients
			policy := resources.NetworkPolicy(c, test.self)
			g.Expect(policy.Spec.PolicyTypes).To(Equal([]networkingv1.PolicyType{networkingv1.PolicyTypeIngress}))
			g.Expect(policy.Spec.PodSelector.MatchLabels).To(Equal(resources.Selector(c)))
			g.Expect(policy.Spec.Ingress).To(HaveLen(test.rules))
			for _, rule := range policy.Spec.Ingress {
				g.Expect(rule.From).NotTo(BeEmpty())
				g.Expect(rule.From).NotTo(ContainElement(networkingv1.NetworkPolicyPeer{}))
				g.Expect(rule.Ports).NotTo(BeEmpty())
			}
		})
	}
}

// The ports of a policy are those on which servers listen, by number: not every network knows names.
func TestThePolicyOpensWhereServersListen(t *testing.T) {
	g := NewWithT(t)
	secret, err := resources.RevisionSecret(customized(t))
	g.Expect(err).NotTo(HaveOccurred())
	pod, err := resources.Pod(customized(t), resources.Server{Name: "consul-0"}, secret)
	g.Expect(err).NotTo(HaveOccurred())
	listens := []string{"8302/TCP", "8302/UDP"} // between datacenters: the pod does not say so
	for _, port := range pod.Spec.Containers[0].Ports {
		listens = append(listens, fmt.Sprintf("%d/%s", port.ContainerPort, port.Protocol))
	}
	opened := map[string]bool{}
	for _, rule := range resources.NetworkPolicy(customized(t), operator).Spec.Ingress {
		for _, port := range rule.Ports {
			opened[fmt.Sprintf("%d/%s", port.Port.IntValue(), *port.Protocol)] = true
		}
	}
	g.Expect(slices.Collect(maps.Keys(opened))).To(ConsistOf(listens))
}

func TestWhoeverNamesSomebodyAsksForAPolicy(t *testing.T) {
	g := NewWithT(t)
	c := plain()
	g.Expect(resources.AsksForNetworkPolicy(c)).To(BeNil())
	c.Spec.NetworkPolicy.Clients = v1alpha1.Peers{}
	g.Expect(resources.AsksForNetworkPolicy(c)).To(HaveValue(BeTrue()))
	c.Spec.NetworkPolicy.Enabled = new(false)
	g.Expect(resources.AsksForNetworkPolicy(c)).To(HaveValue(BeFalse()))
}

func TestPeersThatTheAPIServerWouldRefuse(t *testing.T) {
	selector := func(operator metav1.LabelSelectorOperator) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: operator}}}
	}
	block := func(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
	}
	for message, peer := range map[string]networkingv1.NetworkPolicyPeer{
		"":                  block("192.0.2.0/24", "192.0.2.128/25"),
		"podSelector":       {PodSelector: selector("Like")},
		"namespaceSelector": {NamespaceSelector: selector("In")},
		"ipBlock.cidr":      block("192.0.2.1"),
		"ipBlock.except[0]": block("192.0.2.0/24", "x"),
		"ipBlock.except[1]": block("192.0.2.0/24", "192.0.2.0/25", "192.0.3.0/25"),
	} {
		t.Run(message, func(t *testing.T) {
			g := NewWithT(t)
			c := plain()
			c.Spec.NetworkPolicy.Agents = v1alpha1.Peers{{PodSelector: selector("Exists")}, peer}
			if message == "" {
				g.Expect(resources.CheckNetworkPolicy(c)).To(Succeed())
				return
			}
			g.Expect(resources.CheckNetworkPolicy(c)).To(MatchError(HavePrefix("spec.networkPolicy.agents[1]." + message + ": ")))
			c.Spec.NetworkPolicy.Clients, c.Spec.NetworkPolicy.Agents = c.Spec.NetworkPolicy.Agents, nil
			g.Expect(resources.CheckNetworkPolicy(c)).To(MatchError(HavePrefix("spec.networkPolicy.clients[1]." + message + ": ")))
		})
	}
}
