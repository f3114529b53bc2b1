package sim

import "github.com/consul-operator/consul-operator/test/lib/invariant"

// progress is what Consul and Kubernetes do by themselves. A fair world does all of it sooner or later; the order here
// is the one that a fair run prefers.
var progress = []*kind{
	{name: "starts", can: canStart, do: start},
	{name: "is garbage of a former cluster and is deleted", can: canBeCollected, do: quietly(collect)},
	{name: "joins the servers of a former cluster", can: canJoinFormer, do: joinFormer},
	{name: "is told to stop", can: canGetSignal, do: quietly(getSignal)},
	{name: "is seen to leave", can: canSayGoodbye, do: quietly(sayGoodbye)},
	{name: "pod is gone", can: canVanish, do: quietly(vanish)},
	{name: "claim is gone", can: canLoseClaim, do: quietly(loseClaim)},
	{name: "agent answers again", unreliable: true, can: isHung, do: quietly(resume)},
	{name: "node is back", unreliable: true, can: isCutOff, do: quietly(nodeReturns)},
	{name: "is heard by the others again", unreliable: true, can: isAlone, do: quietly(beHeard)},
	{name: "has outlived its pod and is stopped", unreliable: true, can: hasOutlived, do: quietly((*State).stop)},
	{name: "founds the cluster", can: canFound, do: found},
	{name: "steps down", can: canStepDown, do: quietly(stepDown)},
	{name: "is elected", can: canBeElected, do: elect},
	{name: "left, so the leader removes it from Raft", can: canBeRemoved, do: quietly(removePeer)},
	{name: "has left", can: isLeaving, do: quietly(finishLeave)},
	{name: "joins Serf", can: canJoinSerf, do: quietly(joinSerf)},
	{name: "is seen to be dead", can: canBeSuspected, do: quietly(suspect)},
	{name: "is added to Raft", can: canJoinRaft, do: quietly(joinRaft)},
	{name: "catches up", can: canCatchUp, do: quietly(catchUp)},
	{name: "loses its sessions", can: canLoseSession, do: quietly(loseSession)},
	{name: "autopilot looks", whole: true, can: canLook, do: quietly(look)},
	{name: "is promoted", can: canPromote, do: quietly(promote)},
	{name: "is cleaned up by autopilot", can: canCleanUp, do: quietly(cleanUp)},
	{name: "the leader becomes stable", whole: true, can: canSettleLeader, do: quietly(settleLeader)},
	{name: "endpoints follow", whole: true, can: canRoute, do: quietly(route)},
	{name: "kubelets show the gossip keys", whole: true, can: areKeysUnseen, do: quietly(showKeys)},
	{name: "kubelets show the ACL tokens", whole: true, can: areTokensUnseen, do: quietly(showTokens)},
	{name: "the snapshot is saved", whole: true, can: isSaving, do: quietly(save)},
	{name: "a person deletes the snapshot that failed", whole: true, can: hasFailed, do: quietly(deleteFailed)},
	{name: "the snapshot is read", whole: true, can: isReading, do: quietly(read)},
	{name: "a person restores once more", whole: true, can: isIncomplete, do: quietly(restoreAgain)},
	{name: "the snapshot is restored", whole: true, can: isRestoring, do: quietly(restored)},
	{name: "clients have noticed", whole: true, can: canSettle, do: quietly(settle)},
	{name: "container is started again", can: canRestart, do: restart},
	{name: "is evicted by the drain of its node", can: canBeEvicted, do: quietly(evict)},
	{name: "is on a node that takes pods again", can: isEvicted, do: quietly(uncordon)},
	{name: "is on a node that is not drained after all", unreliable: true, can: isCordoned, do: quietly(uncordon)},
	{name: "does not answer and is killed", can: isHung, do: quietly((*State).stop)},
	{name: "has not stopped in time and is killed", can: missedSIGTERM, do: quietly((*State).stop)},
	{name: "is deleted with its dead node", can: isLost, do: quietly(evictFromNode)},
	{name: "should be gone by now", can: isStuck, do: quietly(becomeOverdue)},
	{name: "is unhealthy for long", can: canBeSick, do: quietly(func(s *State, i int) { s.Servers[i].Long = true })},
}

// A cluster is founded once all that expect each other run with empty disks. If that happens in a cluster that
// exists, there are two from then on.
func canFound(s *State, i int) bool {
	return s.Expect > 0 && s.Servers[i].founds() && s.count((*Server).founds) >= int(s.Expect)
}

func (x *Server) founds() bool { return x.PodFounder && !x.Data && x.heard() }

func found(s *State, i int) *Violation {
	if s.Founded && (s.Bootstrapped || s.count(func(x *Server) bool { return x.Data }) > 0) {
		return violated(invariant.I8, "#%d founds a second, empty cluster", i)
	}
	for j := range s.slots() {
		x := &s.Servers[j]
		x.Peer = NoPeer // of one that was lost with all its disks before anybody took note of it
		if x.founds() {
			x.Peer, x.Serf, x.Data = Voter, Alive, true
		}
	}
	s.Founded = true
	s.lead(i)
	return nil
}

// A new server joins whoever it finds by the name of its cluster.
func canJoinFormer(s *State, i int) bool {
	x := &s.Servers[i]
	return !x.Former && x.heard() && !x.Data && s.count((*Server).isFormer) > 0
}

func (x *Server) isFormer() bool { return x.Former && x.Pod != PodNone && x.Process == Up }

func joinFormer(_ *State, i int) *Violation {
	return violated(invariant.I8, "#%d joins the servers of a former cluster", i)
}

// lead makes a server the leader. Autopilot has to look before it calls anybody healthy again.
func (s *State) lead(i int) {
	s.Leader, s.Stable = int8(i), false //nolint:gosec // at most maxServers
	s.Servers[i].Serf = Alive           // in its own view, which is the one that counts
	for j := range s.slots() {
		s.Servers[j].Healthy, s.Servers[j].Long = false, false
	}
	s.commit()
}

// commit acknowledges a write, if a majority of the voters has all that was acknowledged before and is there to take
// it. Who is not there misses it.
func (s *State) commit() {
	if !s.works() || s.count(func(x *Server) bool { return x.votes() && !x.Behind && s.reads(x) }) < s.quorum() {
		return
	}
	for i := range s.slots() {
		if x := &s.Servers[i]; x.Peer != NoPeer && (x.Process == Down || x.Process == Hung || x.Alone || !s.reads(x)) {
			x.Behind = true
		}
	}
}

// A voter is elected by a majority of the configuration, none of which has seen more than it has.
func canBeElected(s *State, i int) bool {
	x := &s.Servers[i]
	if !s.Founded || s.Leader != nobody || x.Peer != Voter || !x.heard() || !x.Data {
		return false
	}
	return s.count(func(y *Server) bool { return y.votes() && (!x.Behind || y.Behind) }) >= s.quorum()
}

func elect(s *State, i int) *Violation {
	if s.Servers[i].Behind {
		return violated(invariant.I8, "#%d is elected without having all that was acknowledged", i)
	}
	s.lead(i)
	return nil
}

// A leader that hears of no quorum steps down.
func canStepDown(s *State, i int) bool {
	return int(s.Leader) == i && (s.Servers[i].Process == Hung || s.Servers[i].Alone || !s.hasQuorum())
}

func stepDown(s *State, _ int) { s.Leader, s.Stable = nobody, false }

// Autopilot looks every 2 s, sooner than any leader is called stable.
func canSettleLeader(s *State, _ int) bool { return s.Leader != nobody && !s.Stable && !canLook(s, 0) }
func settleLeader(s *State, _ int)         { s.Stable = true }

// leads says whether there is a leader that a majority hears.
func (s *State) leads() bool {
	return s.Leader != nobody && s.hasQuorum() && s.Servers[s.Leader].votes()
}

// works says whether a leader can commit changes of the configuration.
func (s *State) works() bool {
	return s.leads() && s.count(func(x *Server) bool { return x.votes() && s.reads(x) }) >= s.quorum()
}

func canJoinSerf(s *State, i int) bool {
	x := &s.Servers[i]
	return x.heard() && x.Serf != Alive && !x.Former
}

func joinSerf(s *State, i int) { s.Servers[i].Serf = Alive }

func isAlone(s *State, i int) bool { return s.Servers[i].Alone && s.Servers[i].Pod != PodScript }
func beHeard(s *State, i int)      { s.Servers[i].Alone = false }

// A member that does not answer is failed, unless it had said goodbye. Others have to be there to notice. A leader that is
// cut off steps down long before.
func canBeSuspected(s *State, i int) bool {
	x := &s.Servers[i]
	return (x.Process == Down || x.Process == Hung || x.Alone) && (x.Serf == Alive || x.Serf == LeavingSerf) &&
		(int(s.Leader) != i || !x.Alone) && s.count((*Server).heard) > 0
}

func suspect(s *State, i int) {
	x := &s.Servers[i]
	if x.Serf == LeavingSerf {
		x.Serf = Left
		return
	}
	x.Serf = Failed
}

// The leader adds each server that is alive in Serf, also one that was removed before and came back.
func canJoinRaft(s *State, i int) bool {
	x := &s.Servers[i]
	return s.works() && x.Peer == NoPeer && x.Serf == Alive && x.heard()
}

func joinRaft(s *State, i int) {
	x := &s.Servers[i]
	x.Peer, x.Data, x.Behind, x.Healthy = NonVoter, true, true, false
}

// A server that said goodbye is removed by the leader while it still runs; where nobody led, by the next leader.
func canBeRemoved(s *State, i int) bool {
	x := &s.Servers[i]
	return s.works() && x.Peer != NoPeer && x.Serf == Left && !x.heard() && int(s.Leader) != i
}

func removePeer(s *State, i int) {
	x := &s.Servers[i]
	x.Peer, x.Healthy, x.Long = NoPeer, false, false
	if int(s.Leader) == i {
		stepDown(s, i)
	}
}

func canCatchUp(s *State, i int) bool {
	x := &s.Servers[i]
	return s.leads() && x.Behind && x.heard() && x.Peer != NoPeer && s.reads(x)
}

func catchUp(s *State, i int) {
	s.Servers[i].Behind = false
	s.commit()
}

// Autopilot looks at all servers from time to time; between two looks its opinion is old.
func canLook(s *State, _ int) bool {
	return s.leads() && s.count(func(x *Server) bool { return x.Healthy != s.isWell(x) }) > 0
}

func (s *State) isWell(x *Server) bool {
	return x.Peer != NoPeer && x.heard() && x.Serf == Alive && !x.Behind && s.reads(x)
}

func look(s *State, _ int) {
	for i := range s.slots() {
		x := &s.Servers[i]
		x.Healthy = s.isWell(x)
		x.Long = x.Long && !x.Healthy
	}
}

// canBeSick reports whether autopilot can call a voter unhealthy for minutes.
func canBeSick(s *State, i int) bool {
	x := &s.Servers[i]
	return s.Replace && s.readable() && s.leads() && x.Peer == Voter && !x.Healthy && !x.Long && !s.isWell(x)
}

// Autopilot promotes who was healthy for 10 s. A pod that is being deleted has got its signal, or missed it, long before that.
func canPromote(s *State, i int) bool {
	x := &s.Servers[i]
	return s.works() && x.Peer == NonVoter && x.Healthy && x.heard() && !x.Behind && (x.Pod != PodTerminating || x.MissedSIGTERM)
}

func promote(s *State, i int) { s.Servers[i].Peer = Voter }

// Autopilot removes dead servers as long as they are fewer than half, and never below min_quorum.
func canCleanUp(s *State, i int) bool {
	x := &s.Servers[i]
	if !s.works() || x.Peer == NoPeer || x.Serf != Failed && (x.Serf != Absent || x.Process != Down) {
		return false
	}
	dead := s.count(func(y *Server) bool { return y.Peer == Voter && (y.Serf == Failed || y.Serf == Absent) })
	return x.Peer == NonVoter || dead <= (s.voters()-1)/2 && s.voters()-1 >= int(s.MinQuorum)
}

func cleanUp(s *State, i int) {
	removePeer(s, i)
	if x := &s.Servers[i]; x.Serf == Failed {
		x.Serf = Left
	}
}

// leave is PUT /v1/agent/leave, or SIGTERM with leave_on_terminate: a leader hands over first if it can. Nobody hears of it
// from a server that is cut off.
func leave(s *State, i int) {
	x := &s.Servers[i]
	x.Process = Leaving
	if x.Serf == Alive && !x.Alone {
		x.Serf = LeavingSerf
	}
	if int(s.Leader) == i && s.voters() > 1 {
		stepDown(s, i)
	}
}

func canSayGoodbye(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Process == Leaving && x.Serf == LeavingSerf && !x.Alone
}

func sayGoodbye(s *State, i int) { s.Servers[i].Serf = Left }

func isLeaving(s *State, i int) bool { return s.Servers[i].Process == Leaving }

// A server that leaves is removed from Raft by the leader; without one it goes all the same and stays a peer. It exits with
// 0, which is no failure: restartPolicy OnFailure.
func finishLeave(s *State, i int) {
	x := &s.Servers[i]
	if s.works() && int(s.Leader) != i && !x.Alone {
		removePeer(s, i)
	}
	if s.stop(i); x.Serf != Absent && !x.Alone {
		x.Serf = Left
	}
	if x.Pod == PodRunning && (s.Restarts == 0 || x.PodRevision.spec != s.Restarts) {
		x.Pod = PodFinished
	}
}

// stop ends a process, whatever it was doing.
func (s *State) stop(i int) {
	x := &s.Servers[i]
	if x.outlives() {
		x.Alone = false
		x.Data = x.Data && x.Claim != ClaimNone
	}
	x.Process, x.MissedSIGTERM = Down, false
	if int(s.Leader) == i {
		stepDown(s, i)
	}
	if s.count(func(y *Server) bool { return y.Process != Down }) == 0 {
		s.forget()
	}
	s.commit()
}

// forget empties Serf where a server starts while no other one runs: it has met none. A server that failed before stays a peer
// that Serf does not know.
func (s *State) forget() {
	for i := range s.slots() {
		if x := &s.Servers[i]; x.Serf == Failed {
			x.Serf = Absent
		}
	}
}
