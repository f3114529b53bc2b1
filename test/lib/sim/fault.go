package sim

import "github.com/consul-operator/consul-operator/internal/plan"

// faults that a scenario may inject; each costs one of the state's budget.
var faults = []*kind{
	{name: "process is killed", can: runs, do: fault((*State).stop)},
	{name: "agent hangs", can: isUpOnNode, do: fault(hang)},
	{name: "is told to leave by a person", can: isUpOnNode, do: fault(leave)},
	{name: "pod is evicted", can: hasPod, do: fault(func(s *State, i int) { s.Servers[i].Pod = PodTerminating })},
	{name: "pod is deleted by force", can: hasAnyPod, do: fault(killPod)},
	{name: "node is not heard of and its pod is deleted by force", can: canOutlive, do: fault(vanish)},
	{name: "is cut off from the other servers", can: canBeAlone, do: fault(cutOff)},
	{name: "node dies", can: hasPod, do: fault(nodeDies)},
	{name: "kubelet dies", can: isUpOnNode, do: fault(func(s *State, i int) { s.Servers[i].Pod = PodLost })},
	{name: "misses SIGTERM, which comes while Consul starts", can: isToldToStop, do: fault(missSIGTERM)},
	{name: "is started with the gossip keys of a moment ago", can: isGivenOldKeys, do: startWithOldKeys},
	{name: "is started with the ACL tokens of a moment ago", can: isGivenOldTokens, do: startWithOldTokens},
	{name: "claim is deleted by a person", can: hasClaim, do: fault(func(s *State, i int) { s.Servers[i].Claim = ClaimDeleting })},
	{name: "claim and pod are lost", can: hasClaim, do: fault(loseAll)},
	{name: "loses leadership", can: isLeader, do: fault(stepDown)},
	// Who starts anew never learns of a member that failed or left before; a leader may be such a one.
	{name: "is unknown to the leader's Serf", can: isGone, do: fault(func(s *State, i int) { s.Servers[i].Serf = Absent })},
	{name: "is called unhealthy for a moment", can: isHealthy, do: fault(func(s *State, i int) { s.Servers[i].Healthy = false })},
}

// cordon is the beginning of a drain. It is no fault of the cluster, but as sudden.
func cordon() *kind {
	return &kind{
		name: "is on a node that is drained",
		can: func(s *State, i int) bool {
			return s.Changes > 0 && s.Servers[i].Pod == PodRunning && !s.Servers[i].Cordoned
		},
		do: quietly(func(s *State, i int) {
			s.Changes--
			if s.Handoffs < unlimited {
				s.Handoffs += 2 // the one whose turn it is may be drained itself
			}
			s.Servers[i].Cordoned = true
		}),
	}
}

// fault pays for an event. After one, leadership may have to move again; it is not counted any more how often.
func fault(do func(*State, int)) func(*State, int) *Violation {
	return func(s *State, i int) *Violation {
		s.Faults--
		s.Handoffs = unlimited
		do(s, i)
		return nil
	}
}

// unlimited is a number of handoffs that nobody counts.
const unlimited = 255

func runs(s *State, i int) bool       { return s.Faults > 0 && s.Servers[i].Process != Down }
func isUpOnNode(s *State, i int) bool { return hasPod(s, i) && s.Servers[i].Process == Up }
func hasPod(s *State, i int) bool     { return s.Faults > 0 && s.Servers[i].Pod == PodRunning }
func hasAnyPod(s *State, i int) bool  { return s.Faults > 0 && s.Servers[i].Pod != PodNone }
func hasClaim(s *State, i int) bool {
	return s.Faults > 0 && s.Servers[i].Claim == ClaimBound && !s.Servers[i].outlives()
}
func isToldToStop(s *State, i int) bool {
	x := &s.Servers[i]
	return s.Faults > 0 && x.Pod == PodTerminating && x.Process == Up && !x.MissedSIGTERM
}
func isLeader(s *State, i int) bool { return s.Faults > 0 && int(s.Leader) == i }
func isGone(s *State, i int) bool {
	x := &s.Servers[i]
	return s.Faults > 0 && x.Process == Down && (x.Serf == Failed || x.Serf == Left && x.Peer != NoPeer)
}
func isHealthy(s *State, i int) bool { return s.Faults > 0 && s.Servers[i].Healthy }

// canOutlive reports whether a process can outlive its pod. A lost volume beside it is left out, and so is a revision that
// cannot start: a server that takes part without a pod could be given it, and its vote be missing.
func canOutlive(s *State, i int) bool {
	return isUpOnNode(s, i) && s.Servers[i].Claim == ClaimBound && s.Bad == 0 && s.BadGossip == 0 && s.BadTLS == 0
}

// canBeAlone reports whether a server can be cut off: the only voter needs nobody, so it cannot.
func canBeAlone(s *State, i int) bool {
	x := &s.Servers[i]
	return isUpOnNode(s, i) && !x.Alone && (x.Peer != Voter || s.voters() > 1) && s.count((*Server).heard) > 1
}

func cutOff(s *State, i int) {
	s.Servers[i].Alone = true
	s.commit()
}

func hang(s *State, i int) {
	s.Servers[i].Process = Hung
	s.commit()
}

func missSIGTERM(s *State, i int) { s.Servers[i].MissedSIGTERM = true }

func killPod(s *State, i int) {
	if !s.Servers[i].outlives() {
		s.stop(i)
	}
	vanish(s, i)
}

func nodeDies(s *State, i int) {
	s.stop(i)
	s.Servers[i].Pod = PodLost
}

func loseAll(s *State, i int) {
	s.stop(i)
	vanish(s, i)
	loseClaim(s, i)
}

// change is what a user does to the spec; each costs one of the state's budget, and may cost one change of leadership.
func change(name string, can func(*State) bool, do func(*State)) *kind {
	return &kind{
		name: name, whole: true,
		can: func(s *State, _ int) bool { return s.Changes > 0 && can(s) },
		do: quietly(func(s *State, _ int) {
			s.Changes--
			if s.Handoffs < unlimited {
				s.Handoffs++
			}
			do(s)
		}),
	}
}

// want changes version, configuration or pod template, or asks for a restart: all are another revision.
func want(r uint8) *kind {
	names := map[uint8]string{1: "the spec goes back to r1", 2: "the spec becomes r2", 3: "the spec becomes r3"}
	return change(names[r], func(s *State) bool { return s.Wanted.spec != r }, func(s *State) { s.Wanted = s.Wanted.withSpec(r) })
}

func scale(n uint8) *kind {
	names := map[uint8]string{1: "replicas become 1", 3: "replicas become 3", 5: "replicas become 5"}
	return change(names[n], func(s *State) bool { return s.Replicas != n }, func(s *State) { s.Replicas = n })
}

func pause() *kind {
	return change("the cluster is paused", func(s *State) bool { return !s.Paused }, func(s *State) { s.Paused = true })
}

// unpause is free: a cluster that stays paused for good proves nothing.
func unpause() *kind {
	return &kind{
		name: "the cluster is no longer paused", whole: true,
		can: func(s *State, _ int) bool { return s.Paused },
		do:  quietly(func(s *State, _ int) { s.Paused = false }),
	}
}

// secure switches gossip encryption on or off.
func secure(target plan.GossipPhase) *kind {
	return lead("gossip encryption is to be "+target.String(), uint8(target), //nolint:gosec // 0 to 3
		func(s *State) *uint8 { return &s.Gossip })
}

// certify switches TLS on or off.
func certify(target plan.TLSPhase) *kind {
	return lead("TLS is to be "+target.String(), uint8(target), //nolint:gosec // 0 to 4
		func(s *State) *uint8 { return &s.TLS })
}

// grant switches ACLs on or off.
func grant(target plan.ACLPhase) *kind {
	return lead("ACLs are to be "+target.String(), uint8(target), //nolint:gosec // 0 to 2
		func(s *State) *uint8 { return &s.ACLs })
}

// lead says where phases lead. Each phase costs a change of leadership, and not the wish for it.
func lead(name string, target uint8, of func(*State) *uint8) *kind {
	return &kind{
		name: name, whole: true,
		can: func(s *State, _ int) bool { return s.Changes > 0 && *of(s) != target },
		do: quietly(func(s *State, _ int) {
			s.Changes--
			*of(s) = target
		}),
	}
}

// otherClass asks for another storage class: all servers have to move to other volumes.
func otherClass() *kind {
	return change("another storage class is asked for",
		func(s *State) bool { return s.count(func(x *Server) bool { return x.Astray }) == 0 },
		func(s *State) {
			for i := range s.slots() {
				s.Servers[i].Astray = s.Servers[i].Claim != ClaimNone
			}
		})
}

// otherType changes spec.update.type.
func otherType() *kind {
	return change("the other type of update is asked for", func(*State) bool { return true },
		func(s *State) { s.InPlace = !s.InPlace })
}

func requestTransfer() *kind {
	return change("a person asks for another leader", func(s *State) bool { return s.Transfer == noTransfer },
		func(s *State) { s.Transfer = anyServer })
}
