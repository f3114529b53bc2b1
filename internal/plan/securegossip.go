package plan

import (
	"fmt"
	"strings"

	"github.com/consul-operator/consul-operator/api/reason"
)

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
	if next == v.Spec.Gossip.Phase {
		return nil
	}
	if d := v.awaitAgents(next); d != nil {
		return d
	}
	return v.setGossip(next)
}

func (v view) setGossip(next GossipPhase) *Decision {
	return step(SetGossip{Phase: next}, reason.SecuringGossip, "gossip encryption goes from %s to %s, with a rolling update",
		v.Spec.Gossip.Phase, next)
}

func (g Gossip) next() GossipPhase { return toward(g.Phase, g.Target) }

// awaitAgents waits until nobody is cut off by a phase. Consul says who has the key. How a client agent sends, and what it
// accepts, nobody but its configuration says, so a person has to.
func (v view) awaitAgents(next GossipPhase) *Decision {
	is, members := v.Spec.Gossip.Phase, v.Raft.Gossip
	switch {
	case members.Unanswered != "":
		return wait(steadily, reason.WaitingForAgents, "gossip encryption stays %s until the leader lists the members and their "+
			"keys: %s", is, members.Unanswered)
	case members.Encrypted:
		return wait(steadily, reason.InvalidSpec, "spec.gossipEncryption.enabled: gossip is encrypted already, with a key that is on "+
			"the servers' volumes and that the operator does not know: switch that off first, or remove spec.gossipEncryption")
	case is == GossipOff, is == GossipRequired: // the next phase accepts what agents send so far, and they what it sends
		return nil
	case next == GossipSending && members.Keyless != "":
		return wait(steadily, reason.WaitingForAgents, "gossip encryption stays %s until all members have the key: %s",
			is, members.Keyless)
	case len(members.ClientAgents) == 0, v.Spec.AgentsReady == next.String():
		return nil
	}
	return wait(steadily, reason.WaitingForAgents, "gossip encryption stays %s: client agents that are not ready for %s would be "+
		"cut off; prepare them, then: %s (client agents: %s)",
		is, next, v.annotateCommand("agents-ready-for", next.String()), someOf(members.ClientAgents))
}

// someOf names some of many, so that what is said besides them is not cut off.
func someOf(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
