package plan

import "github.com/consul-operator/consul-operator/api/reason"

// GossipPhase is a phase of gossip encryption. Servers hear each other if their phases are the same or next to each
// other: TestGossipPhases asks Consul for each pair.
type GossipPhase int

// The phases, in order.
const (
	GossipOff       GossipPhase = iota // without a key
	GossipAccepting                    // servers have the key, send unencrypted, and accept both
	GossipSending                      // they send encrypted, and accept both
	GossipRequired                     // they send encrypted, and accept nothing else
)

var gossipPhases = []string{"Off", "Accepting", "Sending", "Required"}

// String is the name of a phase in the API.
func (p GossipPhase) String() string { return gossipPhases[p] }

// ParseGossipPhase returns the phase of a name; an error if it is none. A cluster that never had a key, whose phase has no name,
// is Off.
func ParseGossipPhase(name string) (GossipPhase, error) {
	phase, err := parsePhase(name, gossipPhases)
	return GossipPhase(phase), err
}

// Gossip is the encryption of gossip.
type Gossip struct {
	// Phase is that of the wanted revision. Target is where the phases lead.
	Phase, Target GossipPhase
	// Unrecorded reports whether the record of the phase is missing.
	Unrecorded bool
	Rotation   Rotation
}

// secureGossip goes one phase on towards the encryption of gossip that is wanted, once all servers run the last phase and nothing
// else is left to do: so no two servers are further than one phase apart. The phase is a part of the revision, and a rolling
// update brings it to the servers.
func secureGossip(v view) *Decision {
	next := v.Spec.Gossip.next()
	if next == v.Spec.Gossip.Phase || v.awaitAgentsForGossip(next) != nil {
		return nil
	}
	return v.setGossip(next)
}

func (v view) setGossip(next GossipPhase) *Decision {
	return step(SetGossip{Phase: next}, reason.SecuringGossip, "gossip encryption goes from %s to %s, with a rolling update",
		v.Spec.Gossip.Phase, next)
}

func (g Gossip) next() GossipPhase { return toward(g.Phase, g.Target) }
