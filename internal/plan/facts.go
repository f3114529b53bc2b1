package plan

import (
	"cmp"
	"slices"
)

func (v view) server(name string) *Server {
	i := slices.IndexFunc(v.Servers, func(s Server) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &v.Servers[i]
}

// leads says whether a server leads, as far as is known.
func (v view) leads(s Server) bool { return v.Raft.Known && s.Name == v.Raft.Leader }

// outdated says whether a server has to be replaced. One that has failed, whose claim was deleted, or whose node is drained
// has no future either. The pod counts
// where it takes part: it may have been created a moment before its claim got another revision.
func (v view) outdated(s Server) bool {
	return s.Revision != v.Spec.Revision || s.ClaimDeleting || s.Failed || isDrained(s) ||
		takesPart(s) && s.Pod != nil && s.Pod.Revision != v.Spec.Revision
}

// takesPart says whether the cluster knows a server: it is a Raft peer, or Serf sees it.
func takesPart(s Server) bool {
	return s.Peer != nil || s.Member == MemberAlive || s.Member == MemberLeaving || s.Member == MemberFailed
}

// healthyVoter says whether a server's vote can be counted on. All who have a say have to agree: Raft, autopilot,
// Serf, Kubernetes, and its own agent, because the others notice seconds later that a process has died.
func (v view) healthyVoter(s Server) bool { return votes(s) && s.Pod != nil && !s.Pod.Terminating }

// votes says whether a server's vote counts at this moment, whatever becomes of it next.
func votes(s Server) bool {
	return isVoter(s) && s.Health == HealthHealthy && s.Member == MemberAlive && s.Agent.Answered
}

// serves says whether a server can take the place of another one, for Consul and for its clients.
func (v view) serves(s Server) bool { return v.healthyVoter(s) && s.Pod.Ready }

// staying are the servers that are not on their way out.
func (v view) staying() []Server {
	return filter(v.Servers, func(s Server) bool { return !s.Retiring })
}

// current are the staying servers of the wanted revision.
func (v view) current() []Server {
	return filter(v.staying(), func(s Server) bool { return !v.outdated(s) })
}

// enoughWithout says whether the cluster can do without a server: as many healthy voters as wanted stay and serve, one
// less if it is to come back (I2), those whose vote counts are a quorum of the Raft configuration that results (I1),
// strays and the sick included, and they are a quorum now: without one Raft removes nobody, and a dead server that is to
// go may be the one that has to come back first.
func (v view) enoughWithout(leaving Server) bool {
	serving := filter(v.staying(), func(s Server) bool { return s.Name != leaving.Name && v.serves(s) })
	votes := len(filter(v.Servers, v.voteCounts))
	voters := len(filter(v.Raft.Peers, func(p Peer) bool { return p.Voter }))
	votesAfter, votersAfter := votes, voters
	if v.voteCounts(leaving) {
		votesAfter--
	}
	if isVoter(leaving) {
		votersAfter--
	}
	return len(serving) >= v.mustStay(leaving) && votesAfter >= quorum(votersAfter) && votes >= quorum(voters)
}

func quorum(voters int) int { return voters/2 + 1 }

// voteCounts : nobody stops a server whose node is silent, and its vote may be needed until it is replaced.
func (v view) voteCounts(s Server) bool { return v.healthyVoter(s) || v.overdue(s) && votes(s) }

// successor is the server to hand leadership to: a healthy voter that stays, rather one of the wanted revision (it
// will not have to hand over again), then the one with the longest log, then the newest. Nil if there is none.
func (v view) successor() *Server {
	candidates := filter(v.staying(), func(s Server) bool { return !v.leads(s) && v.healthyVoter(s) })
	if len(candidates) == 0 {
		return nil
	}
	best := slices.MaxFunc(candidates, func(a, b Server) int {
		return cmp.Or(
			compareBool(!v.outdated(a), !v.outdated(b)),
			cmp.Compare(a.Agent.LastIndex, b.Agent.LastIndex),
			cmp.Compare(a.Serial, b.Serial))
	})
	return &best
}

func filter[T any](all []T, keep func(T) bool) []T {
	kept := make([]T, 0, len(all))
	for _, one := range all {
		if keep(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

// compareBool puts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
