package plan

import "github.com/consul-operator/consul-operator/api/reason"

// Network is what is known of a NetworkPolicy for the servers.
type Network struct {
	// Asked is what the spec says; nil if it says nothing.
	Asked *bool
	// Kept reports whether there is one of this cluster, or the status says that there was.
	Kept bool
	// New reports whether the cluster has nothing yet, and never had a leader.
	New bool
	// SelfKnown reports whether the operator knows its own pods, and so can let itself in.
	SelfKnown bool
}

// PolicyFate is what becomes of the NetworkPolicy of the servers.
type PolicyFate int

// The fates.
const (
	LeavePolicy  PolicyFate = iota // it stays as it is, if there is one
	KeepPolicy                     // it is created, and kept as it should be
	DeletePolicy                   // it goes
)

// NetworkPolicy says what becomes of the NetworkPolicy of the servers. Where the spec says nothing, a cluster that has
// servers stays as it is: nobody has named its clients. A new one is closed. An operator that does not know its own pods
// leaves alone what lets another operator in.
func (o Observation) NetworkPolicy() PolicyFate {
	switch network := o.Spec.Network; {
	case network.Asked != nil && *network.Asked:
		return KeepPolicy
	case network.Asked != nil:
		return DeletePolicy
	case (network.Kept || network.New) && network.SelfKnown:
		return KeepPolicy
	}
	return LeavePolicy
}

// AttemptNetworkPolicy is the attempt to do so.
const AttemptNetworkPolicy = "NetworkPolicy"

// HoldsSteps reports whether a failure keeps the operator from taking any step. A name that is taken does: without the cluster's
// own Service, for example, new servers would not find each other. The first server waits for its NetworkPolicy, and later ones
// are no worse off without it than those that run.
func (o Observation) HoldsSteps(f Failure) bool {
	if f.Attempt == AttemptNetworkPolicy {
		return len(o.Servers) == 0
	}
	return f.Reason == reason.NameTaken
}
