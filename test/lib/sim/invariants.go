package sim

import (
	"fmt"

	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// Violation of an invariant.
type Violation struct {
	Invariant invariant.Invariant
	Message   string
}

func (v *Violation) String() string { return v.Invariant.String() + ": " + v.Message }

func violated(broken invariant.Invariant, format string, args ...any) *Violation {
	return &Violation{Invariant: broken, Message: fmt.Sprintf(format, args...)}
}

// check says which invariant an action breaks if it is done in this state. The checks do not use the planner's own
// words for what is healthy: they know what is true.
func check(action plan.Action, s *State) *Violation {
	if broken := checkRestore(action, s); broken != nil {
		return broken
	}
	if broken := checkSaves(action, s); broken != nil {
		return broken
	}
	switch a := action.(type) {
	case plan.BeginRestore:
		return checkBeginRestore(s)
	case plan.CreateServer:
		return checkCreate(s, a)
	case plan.BeginRecovery:
		return checkRecovery(s, slot(a.Survivor), a.Lost)
	case plan.SetMinAvailable:
		return checkMinAvailable(s, a.Pods)
	case plan.NameTransferTarget:
		return checkSuccessor(s, slot(a.To))
	case plan.TransferLeadership:
		return checkTransfer(s, slot(a.From), slot(a.To))
	case plan.Leave:
		return checkLeave(s, slot(a.Server))
	case plan.DeletePod:
		return checkDeletePod(s, slot(a.Server))
	case plan.MarkRetiring:
		return checkMark(s, slot(a.Server), a.InPlace)
	case plan.MarkFailed:
		return checkGiveUp(s, slot(a.Server))
	case plan.DeleteOrphan:
		if s.Servers[slot(a.Pod)].Claim != ClaimNone {
			return violated(invariant.I2, "%s is deleted as an orphan and has a claim", a.Pod)
		}
	case plan.SetRevision:
		return checkInPlace(s, slot(a.Server))
	case plan.ForceLeave:
		return checkPrune(s, slot(a.Node))
	case plan.RemovePeer:
		return checkPrune(s, slot(a.Name))
	case plan.ReleaseClaim:
		return checkRelease(s, slot(a.Server))
	case plan.QuarantineClaim:
		return checkQuarantine(s, slot(a.Server))
	case plan.StartServing:
		return checkServe(s, slot(a.Server))
	case plan.RotateGossip:
		return checkRotate(s, a.Step)
	case plan.RotateTokens:
		return checkTokens(s, a.Step)
	case plan.StopServing:
		return checkStopServing(s, slot(a.Server))
	}
	return nil
}

func checkCreate(s *State, a plan.CreateServer) *Violation {
	servers := s.count(func(x *Server) bool { return x.Claim != ClaimNone && !s.givenUp(x) })
	switch {
	case a.BootstrapExpect > 0 && s.Bootstrapped:
		return violated(invariant.I8, "a server with bootstrap_expect is created in a cluster that exists")
	case s.InPlace && s.Bootstrapped && s.count(s.lasts) >= int(s.Replicas):
		return violated(invariant.I2, "a server is created and %d are there that last or are updated in place", s.count(s.lasts))
	case servers >= int(s.Replicas+s.Surge) && s.Bootstrapped:
		return violated(invariant.I2, "server %d is created, replicas and maxSurge allow %d", servers+1, s.Replicas+s.Surge)
	case s.Paused:
		return violated(invariant.I5, "a server is created while the cluster is paused")
	}
	return nil
}

// lasts says whether a server has not to go, whatever its revision.
func (s *State) lasts(x *Server) bool {
	return x.Claim == ClaimBound && !x.Cordoned && !x.Astray && !s.givenUp(x) && (!x.Retiring || x.InPlace)
}

// isOnly says whether a server is the only one and updated in place: then nobody leads meanwhile.
func (s *State) isOnly(i int) bool {
	return s.InPlace && s.Replicas == 1 && s.voters() == 1 && s.Servers[i].Peer == Voter
}

// isDeaf says whether a server cannot read what the leader writes: it takes no part. One that is about to leave may do so, if it
// is not needed.
func (s *State) isDeaf(x *Server) bool {
	return !s.reads(x) && s.Stable && !s.Paused && (!x.Retiring || !s.works())
}

// checkMinAvailable asserts that the disruption budget asks for all pods there are. If it lets one go, others serve, and the
// leader is not evicted where another server could lead.
func checkMinAvailable(s *State, pods int) *Violation {
	if pods >= s.count((*Server).isCounted) {
		return nil
	}
	well, drained := s.count(s.well), s.count(func(x *Server) bool { return x.Cordoned && s.well(x) })
	switch {
	case well < int(s.Replicas):
		return violated(invariant.I2, "a server may be evicted and %d of %d are healthy", well, s.Replicas)
	case drained == 0:
		return violated(invariant.I2, "a server may be evicted and none is drained")
	case !s.Full && !s.Paused && !s.awaitsPerson():
		return violated(invariant.I2, "a server may be evicted that could move")
	case s.Leader != nobody && s.Servers[s.Leader].Cordoned && drained < well && !s.Paused && !s.awaitsPerson():
		return violated(invariant.I3, "the leader may be evicted")
	}
	return nil
}

func checkTransfer(s *State, from, to int) *Violation {
	x := &s.Servers[to]
	switch {
	case int(s.Leader) != from:
		return violated(invariant.I3, "#%d is asked to hand over and does not lead", from)
	case x.Peer != Voter:
		return violated(invariant.I3, "leadership is handed to #%d, which is no voter", to)
	case x.Process != Up || !x.Healthy || x.Serf != Alive:
		return violated(invariant.I3, "leadership is handed to #%d, which is not healthy", to)
	case x.Retiring:
		return violated(invariant.I3, "leadership is handed to #%d, which retires", to)
	case s.Handoffs == 0:
		return violated(invariant.I3, "leadership is handed over more often than users asked for changes")
	case s.Servers[from].Retiring:
		return checkSuccessor(s, to)
	}
	return nil
}

// checkSuccessor asserts that the successor will not have to hand over again where another server could take over.
func checkSuccessor(s *State, to int) *Violation {
	if s.Servers[to].Revision == s.Wanted && !s.Servers[to].Cordoned {
		return nil
	}
	for i := range s.slots() {
		if x := &s.Servers[i]; int(s.Leader) != i && s.well(x) && x.Claim == ClaimBound && !x.Retiring &&
			x.Revision == s.Wanted && x.PodRevision == s.Wanted && !x.Cordoned && s.couldFollow(x) {
			return violated(invariant.I3, "leadership is to go to #%d, which is outdated, and not to #%d", to, i)
		}
	}
	return nil
}

// couldFollow says whether a quorum could read what a server would write.
func (s *State) couldFollow(leader *Server) bool {
	reads := func(x *Server) bool { return x.PodRevision.spec >= s.Format || leader.PodRevision.spec < s.Format }
	return s.count(func(x *Server) bool { return x.votes() && reads(x) }) >= s.quorum()
}

// well says whether a server's vote can be counted on, in truth and in autopilot's opinion.
func (s *State) well(x *Server) bool { return s.voteCounts(x) && x.Pod == PodRunning }

// voteCounts reports whether a vote counts: a dead kubelet stops no server.
func (s *State) voteCounts(x *Server) bool {
	return x.Peer == Voter && s.reads(x) && x.Process == Up && x.Serf == Alive && x.Healthy && (x.Pod == PodRunning || x.cutOff())
}

// checkStop is for a server that takes part and is made to go. One that is updated in place may be missing for a while.
func checkStop(s *State, i int) *Violation {
	x := &s.Servers[i]
	stay, votes := 0, 0
	if x.InPlace {
		stay++
	}
	for j := range s.slots() {
		y := &s.Servers[j]
		if j != i && s.well(y) && !y.Retiring {
			stay++
		}
		if j != i && s.voteCounts(y) {
			votes++
		}
	}
	voters := s.voters()
	if x.Peer == Voter {
		voters--
	}
	switch {
	case int(s.Leader) == i:
		return violated(invariant.I3, "#%d is stopped and leads", i)
	case x.Peer == Voter && votes < voters/2+1:
		return violated(invariant.I1, "%d of %d voters would be healthy without #%d", votes, voters, i)
	case x.Peer == Voter && stay < int(s.Replicas):
		return violated(invariant.I2, "%d healthy voters would stay without #%d, %d are wanted", stay, i, s.Replicas)
	}
	return nil
}

func checkLeave(s *State, i int) *Violation {
	switch x := &s.Servers[i]; {
	case !x.Retiring:
		return violated(invariant.I2, "#%d leaves and was not marked: an operator that starts anew would choose another one", i)
	case x.Routed, x.Pod == PodRunning && (x.Serving || !x.Settled):
		return violated(invariant.I9, "#%d leaves while clients are sent to it", i)
	}
	return checkStop(s, i)
}

func checkDeletePod(s *State, i int) *Violation {
	x := &s.Servers[i]
	switch {
	case (s.isOnly(i) || s.isDeaf(x)) && x.Revision == s.Wanted && x.PodRevision != s.Wanted:
		return nil
	case x.Process == Leaving && (x.Serf == Alive || x.Serf == LeavingSerf) && !x.Alone && // others are never seen to leave
		s.Survivor == nobody: // a recovery restarts all that is left, and nobody leads whom a server could take leave of
		return violated(invariant.I1, "the pod of #%d is deleted before it has left", i)
	case x.Peer == Voter && s.Founded && s.Bootstrapped && !s.hasQuorum() && s.Survivor == nobody &&
		x.Serf != Left && x.Pod == PodRunning:
		return violated(invariant.I1, "the pod of voter #%d is deleted while the quorum needs it back", i)
	case x.Process == Down, x.outlives(), x.Peer == NoPeer: // nothing that takes part stops
		return nil
	case s.Founded && s.Leader != nobody:
		return checkStop(s, i)
	}
	return nil
}

func checkGiveUp(s *State, i int) *Violation {
	switch {
	case !s.givenUp(&s.Servers[i]):
		return violated(invariant.I2, "#%d is given up and may come back", i)
	case s.Paused:
		return violated(invariant.I5, "#%d is given up while the cluster is paused", i)
	}
	return nil
}

func checkMark(s *State, i int, inPlace bool) *Violation {
	x := &s.Servers[i]
	other := s.count(func(y *Server) bool { return y.Retiring })
	switch {
	case other > 0:
		return violated(invariant.I2, "#%d is to retire, and another one retires already", i)
	case s.Paused:
		return violated(invariant.I5, "#%d is to retire while the cluster is paused", i)
	case inPlace && (!s.InPlace || x.Revision == s.Wanted && x.PodRevision == s.Wanted):
		return violated(invariant.I2, "#%d is to be updated in place and nobody asks for that", i)
	case !s.Stable:
		return violated(invariant.I1, "#%d is to retire under a leader that has led for a moment only", i)
	case int(s.Leader) == i && s.outdatedFollowers() > 0 && (x.Astray || x.Revision != s.Wanted) && (!s.InPlace || s.Replicas > 1):
		return violated(invariant.I3, "the leader #%d is to retire before others that have to", i)
	}
	return nil
}

func (s *State) outdatedFollowers() int {
	n := 0
	for i := range s.slots() {
		x := &s.Servers[i]
		if x.Claim != ClaimNone && !x.Retiring && (x.Astray || x.Revision != s.Wanted) && int(s.Leader) != i {
			n++
		}
	}
	return n
}

func checkInPlace(s *State, i int) *Violation {
	switch x := &s.Servers[i]; {
	case s.isDeaf(x):
		return nil
	case s.Founded && x.Process == Up && !x.outlives() && x.Peer == Voter && !s.isOnly(i):
		return violated(invariant.I2, "#%d is replaced in place and takes part", i)
	case x.InPlace && x.Peer != NoPeer && s.readable(): // without a known leader it does not leave, and may be corrected
		return violated(invariant.I2, "#%d is said to have come back and is still a Raft peer", i)
	}
	return nil
}

func checkPrune(s *State, i int) *Violation {
	x := &s.Servers[i]
	switch {
	case x.Serf == Alive, x.Serf == LeavingSerf:
		return violated(invariant.I4, "#%d is pruned and alive in Serf", i)
	case x.Claim != ClaimNone && !x.Retiring:
		return violated(invariant.I4, "#%d is pruned and is a server that stays", i)
	}
	return nil
}

func checkRelease(s *State, i int) *Violation {
	x := &s.Servers[i]
	switch {
	case x.Peer != NoPeer:
		return violated(invariant.I4, "the volume of #%d is deleted while it is a Raft peer", i)
	case x.Pod != PodNone:
		return violated(invariant.I4, "the volume of #%d is deleted while its pod is there", i)
	case x.Failed:
		return violated(invariant.I4, "the volume of #%d, which was given up, is deleted", i)
	case x.outlives() && x.heard() && x.Serf == Alive:
		return violated(invariant.I4, "the volume of #%d is deleted while Serf hears it", i)
	case x.InPlace && s.count(func(y *Server) bool { return y.Claim != ClaimNone && y != x }) < int(s.Replicas):
		return violated(invariant.I4, "the volume of #%d, which was to come back on it, is deleted", i)
	}
	return nil
}

// checkQuarantine asserts that the server has stopped: otherwise it would go on without a claim.
func checkQuarantine(s *State, i int) *Violation {
	x := &s.Servers[i]
	switch {
	case x.Peer != NoPeer && !x.Lost:
		return violated(invariant.I4, "the volume of #%d is set aside while it is a Raft peer", i)
	case x.outlives() && (x.Alone || x.Serf != Alive): // nobody hears anything of it
	case x.Pod == PodPending, x.Pod == PodRunning, x.Pod != PodTerminating && x.Process != Down:
		return violated(invariant.I4, "the volume of #%d is set aside while it may run", i)
	}
	return nil
}

func checkServe(s *State, i int) *Violation {
	if x := &s.Servers[i]; x.Peer != Voter || x.Retiring {
		return violated(invariant.I9, "clients are sent to #%d, which is no voter that stays", i)
	}
	return nil
}

// checkStopServing asserts that the Service does not run empty right after an election, when autopilot calls no server healthy.
func checkStopServing(s *State, i int) *Violation {
	if x := &s.Servers[i]; x.Peer == Voter && !x.Retiring {
		return violated(invariant.I9, "clients are kept from #%d, a voter that stays", i)
	}
	return nil
}
