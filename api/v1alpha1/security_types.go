package v1alpha1

// GossipEncryption configures the encryption of gossip.
type GossipEncryption struct {
	// Enabled is whether servers encrypt gossip and accept only encrypted gossip. Changing it on a running cluster takes three
	// rolling updates, one for each phase: see status.gossipEncryption. If omitted, a new cluster is encrypted unless its
	// spec.config says how gossip is encrypted, and a running one stays as it is.
	//
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
}

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
