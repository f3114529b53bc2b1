package plan

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/consul-operator/consul-operator/api/reason"
)

// awaitAgents says what waits until client agents are prepared for it: a phase of gossip encryption, one of TLS, another
// certificate authority. It comes last: what does not wait goes on meanwhile.
func awaitAgents(v view) *Decision {
	var all *Decision
	for _, d := range []*Decision{
		v.awaitAgentsForGossip(v.Spec.Gossip.next()), v.awaitAgentsForTLS(v.Spec.TLS.next()), v.awaitAgentsForAuthority(),
	} {
		switch {
		case d == nil:
		case all == nil:
			all = d
		default:
			all.Message += "; " + d.Message
		}
	}
	return all
}

// awaitAgentsForAuthority waits until client agents believe the next authority, before servers have certificates of it, and
// then until they have such certificates themselves, before servers forget the former one. It does not wait when clients
// still have time, or when there is none left.
func (v view) awaitAgentsForAuthority() *Decision {
	a, members := v.Spec.TLS.Authority, v.Raft.Gossip
	word, prepare := "", ""
	switch {
	case v.HasNoTLS(), a.Stage != AuthorityComing && a.Stage != AuthorityGoing, v.endsSoon():
		return nil
	case a.Stage == AuthorityGoing:
		word, prepare = ForgetAuthority.Word(), "give them certificates of the present one"
	case !a.Introduced, v.now.Before(a.KnownAt):
		return nil
	default:
		word, prepare = PromoteAuthority.Word(), "have them believe the next one as well"
	}
	switch {
	case !v.Raft.Known, members.Unanswered != "":
		return wait(steadily, reason.WaitingForAgents, "the certificate authority stays until the leader lists the members: %s",
			cmp.Or(members.Unanswered, v.Raft.Unknown))
	case len(members.ClientAgents) == 0, v.Spec.AgentsReady == word:
		return nil
	}
	return wait(steadily, reason.WaitingForAgents, "the certificate authority stays: client agents would be cut off; %s, then: %s "+
		"(client agents: %s)", prepare, v.annotateCommand("agents-ready-for", word), someOf(members.ClientAgents))
}

// awaitAgentsForGossip waits until nobody is cut off by a phase. Consul says who has the key. How a client agent sends, and
// what it accepts, nobody but its configuration says, so a person has to.
func (v view) awaitAgentsForGossip(next GossipPhase) *Decision {
	is, members := v.Spec.Gossip.Phase, v.Raft.Gossip
	switch {
	case next == is:
		return nil
	case members.Unanswered != "", members.KeysUnanswered != "":
		return wait(steadily, reason.WaitingForAgents, "gossip encryption stays %s until the leader lists the members and their "+
			"keys: %s", is, cmp.Or(members.Unanswered, members.KeysUnanswered))
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

// awaitAgentsForTLS waits until no client agent is cut off: servers are about to take RPC only by TLS, or only without it.
// What an agent calls by, nobody but its configuration says, so a person has to.
func (v view) awaitAgentsForTLS(next TLSPhase) *Decision {
	is, members := v.Spec.TLS.Phase, v.Raft.Gossip
	cutsOff := is == TLSSending && next == TLSRequired || is == TLSAccepting && next == TLSOff
	switch {
	case !cutsOff:
		return nil
	case members.Unanswered != "":
		return wait(steadily, reason.WaitingForAgents, "TLS stays %s until the leader lists the members: %s",
			is, members.Unanswered)
	case len(members.ClientAgents) == 0, v.Spec.AgentsReady == next.Word():
		return nil
	}
	return wait(steadily, reason.WaitingForAgents, "TLS stays %s: client agents that are not ready for %s would be cut off; "+
		"prepare them, then: %s (client agents: %s)",
		is, next, v.annotateCommand("agents-ready-for", next.Word()), someOf(members.ClientAgents))
}

// someOf names some of many, so that what is said besides them is not cut off.
func someOf(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
