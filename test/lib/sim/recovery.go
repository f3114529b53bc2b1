package sim

import (
	"slices"
	"time"

	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// The recovery of a quorum that is lost for good: the operator's record of it, and what becomes of Raft.

// theRecovery is the id of the recovery that is under way. A pod of another one is none of it.
const theRecovery = "this"

// recoveries are the ids on pods.
var recoveries = map[Rescue]string{Saves: theRecovery, SavesAndLeads: theRecovery}

// recovery fills in what the cluster's record says of a recovery.
func (s *State) recovery(spec *plan.Spec) {
	if s.Automatic {
		spec.RecoverAfter = new(time.Duration)
	}
	var lost []string
	for i := range s.slots() {
		if s.Servers[i].Lost {
			lost = append(lost, names[i])
		}
		if s.Servers[i].Accepted {
			spec.AcceptedLoss = append(spec.AcceptedLoss, names[i])
		}
	}
	if s.Survivor != nobody {
		spec.Recovery = &plan.Recovery{ID: theRecovery, Survivor: names[s.Survivor], Lost: lost}
	}
}

// outlook is how a server sees a cluster in which nobody leads. One that is no peer knows of no configuration.
func (s *State) outlook(i int) *plan.Outlook {
	o := &plan.Outlook{}
	for j := range s.slots() {
		x := &s.Servers[j]
		if x.Peer != NoPeer && s.Servers[i].Peer != NoPeer {
			o.Peers = append(o.Peers, plan.Peer{ID: ids[j], Name: names[j], Voter: x.Peer == Voter, Ours: true})
		}
		if x.Serf != Absent {
			o.Members = append(o.Members, plan.Member{ID: ids[j], Name: names[j], Status: serfStatus[x.Serf]})
		}
	}
	return o
}

func beginRecovery(s *State, a plan.BeginRecovery) bool {
	s.Survivor = int8(slot(a.Survivor)) //nolint:gosec // at most maxServers
	for i := range s.slots() {
		x := &s.Servers[i]
		x.Lost, x.Rescued, x.PodRescue = slices.Contains(a.Lost, names[i]), false, NoRescue
	}
	return true
}

func cancelRecovery(s *State) bool {
	s.Survivor = nobody
	for i := range s.slots() {
		s.Servers[i].Lost = false
	}
	return true
}

func finishRecovery(s *State) bool {
	for i := range s.slots() {
		s.Servers[i].Accepted = false
	}
	return cancelRecovery(s)
}

// sameRecovery is a part of the resourceVersion of the ConsulCluster.
func sameRecovery(seen, s *State) bool {
	for i := range s.Servers {
		if a, b := &seen.Servers[i], &s.Servers[i]; a.Lost != b.Lost || a.Accepted != b.Accepted {
			return false
		}
	}
	return seen.Survivor == s.Survivor
}

// rescueOf is what a new pod does for the recovery that the operator knows of.
func rescueOf(seen *State, i int) Rescue {
	switch {
	case seen.Survivor == nobody:
		return NoRescue
	case int(seen.Survivor) == i:
		return SavesAndLeads
	}
	return Saves
}

// rescue makes a server the only voter. All others have to take what it has, and none of them may be able to elect a
// leader without it.
func (s *State) rescue(i int) *Violation {
	quorum, others := s.quorum(), 0
	for j := range s.slots() {
		x := &s.Servers[j]
		if j == i {
			continue
		}
		if x.Peer == Voter && x.Data && (x.Claim != ClaimNone || x.Process != Down) {
			others++
		}
		if s.Servers[i].Behind && x.Data && !x.Behind && x.Claim != ClaimNone && !x.Lost {
			return violated(invariant.I8, "#%d carries on without what was acknowledged, which #%d has", i, j)
		}
	}
	if others >= quorum {
		return violated(invariant.I8, "#%d carries on alone, and %d others can elect a leader, too", i, others)
	}
	for j := range s.slots() {
		if x := &s.Servers[j]; j != i {
			x.Behind = x.Data
			removePeer(s, j)
		}
	}
	s.Servers[i].Peer, s.Servers[i].Behind = Voter, false
	return nil
}

// checkRecovery asserts that no server that may come back is given up, unless a person says so, and that the one with the
// newest log carries on.
func checkRecovery(s *State, survivor int, lost []string) *Violation {
	var left int
	for i := range s.slots() {
		x := &s.Servers[i]
		mayVote := x.Peer == Voter && x.Data && (x.Claim != ClaimNone || x.Process != Down) && !x.Accepted
		if mayVote {
			left++
		}
		given := slices.Contains(lost, names[i])
		if given && !x.Accepted && x.Claim != ClaimNone {
			return violated(invariant.I8, "#%d is given up and may come back", i)
		}
		if !given && s.Servers[survivor].Behind && x.Peer != NoPeer && x.Data && !x.Behind && x.Claim != ClaimNone {
			return violated(invariant.I8, "#%d is to carry on, and #%d has more", survivor, i)
		}
	}
	switch {
	case left >= s.quorum():
		return violated(invariant.I8, "%d of %d voters may elect a leader, and the quorum is called lost", left, s.voters())
	case s.Paused:
		return violated(invariant.I5, "a paused cluster is recovered")
	}
	return nil
}

// recoverable says whether a quorum that is lost for good has to come back without a person.
func (s *State) recoverable() bool {
	survivors := s.count(func(x *Server) bool { return x.Claim != ClaimNone && x.Peer != NoPeer && x.heard() })
	down := s.count(func(x *Server) bool { return x.Claim != ClaimNone && x.missing() })
	deaf := s.count(func(x *Server) bool { return x.Claim != ClaimNone && !x.missing() && (x.cutOff() || x.Alone) })
	mistaken := s.count(func(x *Server) bool { return x.Accepted != x.missing() })
	accepted := s.count(func(x *Server) bool { return x.Accepted })
	return survivors > 0 && deaf == 0 && (s.Automatic && accepted == 0 && down == 0 || accepted > 0 && mistaken == 0)
}

// missing is what a person has to give up for a recovery: who does not answer, and voters without a volume.
func (x *Server) missing() bool {
	if x.Claim == ClaimNone {
		return x.Peer == Voter && x.Serf != Alive
	}
	return x.Process != Up && x.Process != Leaving
}

// quorumLost starts when so many servers are lost with their volumes that the others cannot elect a leader. Where there
// are several of those, the first one has missed what was acknowledged last.
func quorumLost(scenario Scenario) Scenario {
	s := &scenario.Start
	for i := range s.quorum() {
		loseAll(s, i)
	}
	s.Servers[s.quorum()].Behind = s.quorum() < int(s.N)-1
	s.Handoffs = unlimited
	return scenario
}

// automatic recovers without a person.
func automatic(scenario Scenario) Scenario {
	scenario.Start.Automatic = true
	return scenario
}

// strayAlive starts with a voter whose pod and volume were deleted by force while it went on running: nobody can count on it, and
// nobody can call it lost.
func strayAlive(scenario Scenario) Scenario {
	s := &scenario.Start
	stray := &s.Servers[s.N-1]
	vanish(s, int(s.N-1))
	stray.Claim, stray.Founder, stray.Serving, stray.Routed = ClaimNone, false, false, false
	return scenario
}

// accept is a person's word on a loss: exactly those who do not answer, and those who are gone.
func accept() *kind {
	return change("a person gives up who is missing", func(s *State) bool { return s.Founded && s.Leader == nobody },
		func(s *State) {
			for i := range s.slots() {
				s.Servers[i].Accepted = s.Servers[i].missing()
			}
		})
}
