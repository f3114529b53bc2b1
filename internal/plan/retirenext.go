package plan

import (
	"cmp"
	"slices"

	"github.com/consul-operator/consul-operator/api/reason"
)

// retireNext chooses the next server to retire: the one that matters least. The marker is written before anything that
// cannot be undone, so that an operator that restarts goes on with the same server.
func retireNext(v view) *Decision {
	candidates := v.retirable()
	if len(candidates) == 0 {
		return nil
	}
	chosen := candidates[0]
	if v.updatable(chosen) {
		return v.updateInPlace(chosen)
	}
	if !v.enoughWithout(chosen, v.Spec.Replicas) {
		return nil // awaitServers says what is missing
	}
	return step(MarkRetiring{Server: chosen.Name}, reason.RetiringServer, "retiring %s: %s", chosen.Name, v.whyRetire(chosen))
}

// updateInPlace begins while all others serve, so this server is the only one that is missing until it is back.
func (v view) updateInPlace(s Server) *Decision {
	if v.isSingle() {
		return v.restartSingle()
	}
	if !v.enoughWithout(s, v.toKeepInPlace()) {
		return nil // awaitServers says what is missing
	}
	others := v.Spec.Replicas - 1
	return step(MarkRetiring{Server: s.Name, InPlace: true}, reason.UpdatingInPlace,
		"updating %s in place: it has an older revision and all others serve; how many of them may fail until it is back: %d",
		s.Name, others-quorum(others))
}

// restartSingle updates the only server. It does not leave: no other server could take over or remove it. SIGTERM ends it
// in order, and on its volume it is the one voter, as before.
func (v view) restartSingle() *Decision {
	if len(v.Raft.Peers) != 1 || !isVoter(v.Servers[0]) {
		return nil
	}
	return v.reviseOnVolume(v.Servers[0],
		"%s, the only server, is about to be restarted in place: there is no leader until it is back",
		"%s, the only server, is restarted in place: there is no leader until it is back")
}

func (v view) whyRetire(s Server) string {
	switch {
	case s.ClaimDeleting:
		return "its volume claim was deleted"
	case s.Failed:
		return "it has failed and another one has taken its place"
	case s.WrongVolume:
		return "another server with the wanted volume has taken its place"
	case isDrained(s):
		return "its node is drained and another server has taken its place"
	case v.outdated(s):
		return "it has an older revision and enough voters of the new one are healthy"
	}
	return "it is one more than wanted"
}

// retirable are the staying servers that are outdated or, if there are none, the surplus. The one that matters least comes
// first: servers without a vote, then the unhealthy, then followers, and the leader last (I3).
func (v view) retirable() []Server {
	candidates, oldestFirst := v.outdatedOnes(), 1
	if len(candidates) == 0 {
		if len(v.staying) <= v.Spec.Replicas {
			return nil
		}
		candidates, oldestFirst = slices.Clone(v.staying), -1
	}
	slices.SortStableFunc(candidates, func(a, b Server) int {
		return cmp.Or(
			compareBool(v.leads(a), v.leads(b)),
			compareBool(isVoter(a), isVoter(b)),
			compareBool(v.healthyVoter(a), v.healthyVoter(b)),
			oldestFirst*cmp.Compare(a.Serial, b.Serial))
	})
	return candidates
}

// outdatedOnes are the staying servers that have to retire or to be updated. A server that takes no part is revised as soon
// as its pod is gone, or goes before all others if it is surplus. A single server is updated when the others are gone.
func (v view) outdatedOnes() []Server {
	if needless := v.needless(); len(needless) > 0 {
		return needless
	}
	surplusFirst := v.Spec.InPlace && v.Spec.Replicas == 1 && len(v.Servers) > 1
	return filter(v.staying, func(s Server) bool {
		return v.outdated(s) && (!v.updatable(s) || takesPart(s) && !surplusFirst)
	})
}

// needless are surplus servers that take no part: what is left of a surge for which there was no room.
func (v view) needless() []Server {
	if !v.Spec.InPlace {
		return nil
	}
	return filter(v.lasting(), func(s Server) bool { return !takesPart(s) && !v.isWanted(s) })
}
