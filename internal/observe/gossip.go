package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// gossip is the phase of gossip encryption that a cluster has, and the one that it is to have in the end: where the spec says
// nothing, the same.
func gossip(c *v1alpha1.ConsulCluster) plan.Gossip {
	phase, _ := plan.ParseGossipPhase(string(resources.GossipPhase(c))) // the error is found again, see readRecords
	gossip := plan.Gossip{
		Phase: phase, Target: phase, Unrecorded: resources.GossipRecordLost(c),
		AgentsReady: c.Annotations[v1alpha1.AnnotationAgentsReady],
	}
	switch enabled := c.Spec.GossipEncryption.Enabled; {
	case enabled == nil:
	case *enabled:
		gossip.Target = plan.GossipRequired
	default:
		gossip.Target = plan.GossipOff
	}
	return gossip
}

// gossipMembers asks the leader's agent whom the phase after this one could cut off. It asks for the keys of all members when a
// phase could end: whoever has none logs the question, and whoever does not answer is waited for.
func gossipMembers(ctx context.Context, s *Snapshot, agent consul.Agent) plan.GossipMembers {
	clients, err := agent.ClientAgents(ctx)
	if err != nil {
		return plan.GossipMembers{Unanswered: err.Error()}
	}
	members := plan.GossipMembers{ClientAgents: clients}
	phase := s.Spec.Gossip.Phase
	if phase != plan.GossipOff && phase != plan.GossipAccepting || !allAsWanted(s) {
		return members
	}
	switch keyring, err := agent.Keyring(ctx); {
	case phase == plan.GossipOff && err == nil:
		members.Encrypted = true
	case errors.Is(err, consul.ErrNoKey) && phase == plan.GossipOff:
	case errors.Is(err, consul.ErrNoKey):
		members.Keyless = cmp.Or(keyless.FindString(err.Error()), "a member") + " without it"
	case err != nil:
		members.Unanswered = err.Error()
	case keyring.Shared() == "":
		members.Keyless = fmt.Sprintf("the %d members do not share one", keyring.Members)
	}
	return members
}

// keyless is how many members have no key in Consul's answer, which lists them in any order.
var keyless = regexp.MustCompile(`\d+/\d+ nodes`)

// allAsWanted reports whether all servers that are wanted serve with the wanted revision.
func allAsWanted(s *Snapshot) bool {
	return len(s.Servers) == s.Spec.Replicas && !slices.ContainsFunc(s.Servers, func(server plan.Server) bool {
		return server.Pod == nil || !server.Pod.Ready || server.Pod.Revision != s.Spec.Revision
	})
}
