package v1alpha1

import networkingv1 "k8s.io/api/networking/v1"

// GossipEncryption configures the encryption of gossip.
type GossipEncryption struct {
	// Enabled is whether servers encrypt gossip and accept only encrypted gossip. Changing it on a running cluster takes three
	// rolling updates, one for each phase: see status.gossipEncryption. If omitted, a new cluster is encrypted unless its
	// spec.config says how gossip is encrypted, and a running one stays as it is.
	//
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
}

// NetworkPolicy restricts who reaches the servers, on networks that enforce NetworkPolicies.
type NetworkPolicy struct {
	// Enabled is whether the operator keeps a NetworkPolicy that lets in whom this names, the servers themselves and the
	// operator, and nobody else. If omitted, a cluster that names clients or agents has one, and so has a new one, unless the
	// operator runs outside of a pod. Any other cluster stays as it is.
	//
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// Clients reach the ports for HTTP, HTTPS, gRPC and DNS. If omitted, all pods of the namespace do. An empty list is for none.
	//
	// +optional
	Clients Peers `json:"clients,omitzero"`

	// Agents reach the ports for RPC and gossip, which servers have among themselves: client agents, and the servers of other
	// datacenters.
	//
	// +optional
	Agents Peers `json:"agents,omitempty"`
}

// Peers are pods and addresses, as those in `from` of a NetworkPolicy.
//
// +listType=atomic
// +kubebuilder:validation:MaxItems=64
// +kubebuilder:validation:XValidation:rule="self.all(p, has(p.ipBlock) != (has(p.podSelector) || has(p.namespaceSelector)))",message="each entry must have either ipBlock, or podSelector, namespaceSelector or both ({} selects all)"
type Peers []networkingv1.NetworkPolicyPeer

// GossipPhase is a phase of gossip encryption. Servers hear each other if their phases are the same or next to each other in
// this order.
//
// +kubebuilder:validation:Enum=Off;Accepting;Sending;Required
type GossipPhase string

// The phases of gossip encryption, in order.
const (
	// GossipOff is a cluster without a key.
	GossipOff GossipPhase = "Off"
	// GossipAccepting servers have the key. They send unencrypted, and accept both.
	GossipAccepting GossipPhase = "Accepting"
	// GossipSending servers send encrypted, and accept both.
	GossipSending GossipPhase = "Sending"
	// GossipRequired servers send encrypted, and accept nothing else.
	GossipRequired GossipPhase = "Required"
)
