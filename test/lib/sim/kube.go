package sim

import (
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

func canStart(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Pod == PodPending && x.Process == Down && x.Claim != ClaimNone && !s.unschedulable(x) &&
		!s.isBad(x.PodRevision)
}

// isBad reports whether no server starts with a revision.
func (s *State) isBad(r Revision) bool {
	return s.Bad != 0 && r.spec == s.Bad || s.BadGossip != 0 && r.gossip == s.BadGossip ||
		s.BadTLS != 0 && r.tls == s.BadTLS || s.BadACLs != 0 && r.acls == s.BadACLs
}

// unschedulable reports whether no node takes a server: where nodes are full, it has to go where its volume is, and a new
// server finds no node.
func (s *State) unschedulable(x *Server) bool {
	return s.Full && x.Pod == PodPending && (x.Cordoned || !x.Data && s.Founded)
}

// A drain evicts what it finds on its node, if the disruption budget lets it: ready pods, as long as one more is ready
// than has to be.
func canBeEvicted(s *State, i int) bool {
	x := &s.Servers[i]
	ready := s.count(func(y *Server) bool { return s.ready(y) })
	return x.Cordoned && s.ready(x) && ready > int(s.MinAvailable)
}

func evict(s *State, i int) { s.Servers[i].Pod = PodTerminating }

func isCordoned(s *State, i int) bool { return s.Servers[i].Cordoned }

// A node takes pods again when it was drained.
func isEvicted(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Cordoned && (x.Pod == PodPending || x.Pod == PodNone)
}

func uncordon(s *State, i int) { s.Servers[i].Cordoned = false }

// drainWaits says whether a drain waits for a server that is ready to be evicted, while all others are well.
func (s *State) drainWaits() bool {
	waits := s.count(func(x *Server) bool { return x.Cordoned && s.ready(x) })
	return waits > 0 && s.Replicas > 1 && s.count(s.well) >= int(s.Replicas)
}

func start(s *State, i int) *Violation {
	return startWith(s, i, s.given(s.Servers[i].PodRevision))
}

func startWith(s *State, i int, keys Ring) *Violation {
	x := &s.Servers[i]
	x.Ring, x.UsesFormer = keys, false
	if other := s.unheardBy(x); other >= 0 {
		return violated(invariant.I10, "#%d is started, and it and #%d do not hear each other", i, other)
	}
	x.Pod, x.Process = PodRunning, Up
	if x.PodRescue == NoRescue || x.Rescued || !x.Data {
		return nil
	}
	x.Rescued = true
	if x.PodRescue == SavesAndLeads {
		return s.rescue(i)
	}
	return nil
}

// unheardBy is a server that runs and that does not hear another one, nor that one it; -1 if there is none. They hear each
// other if their phases of gossip encryption are the same or next to each other (TestGossipPhases), and those of TLS
// (TestTLSPhases), and if each has the key of the other.
func (s *State) unheardBy(x *Server) int {
	for i := range s.slots() {
		y := &s.Servers[i]
		hear := near(x.PodRevision.Gossip(), y.PodRevision.Gossip()) && near(x.PodRevision.TLS(), y.PodRevision.TLS()) &&
			x.Ring.hear(y.Ring)
		if y.Claim != ClaimNone && y.runsInPod() && !hear {
			return i
		}
	}
	return -1
}

// near reports whether phases are the same or next to each other.
func near[P ~int](a, b P) bool { return a-b <= 1 && b-a <= 1 }

// A container that fails is started again, whatever the restartPolicy.
func canRestart(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Pod == PodRunning && x.Process == Down
}

func restart(s *State, i int) *Violation {
	if other := s.unheardBy(&s.Servers[i]); other >= 0 {
		return violated(invariant.I10, "#%d is started again, and it and #%d do not hear each other", i, other)
	}
	s.Servers[i].Process = Up
	return nil
}

func canGetSignal(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Pod == PodTerminating && (x.Process == Up && !x.MissedSIGTERM || x.Process == Hung)
}

// missedSIGTERM reports whether only the end of the grace period ends a process.
func missedSIGTERM(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Pod == PodTerminating && x.Process == Up && x.MissedSIGTERM
}

// getSignal is SIGTERM, and SIGKILL after the grace period for a process that does not hear it.
func getSignal(s *State, i int) {
	if s.Servers[i].Process == Hung {
		s.stop(i)
		return
	}
	leave(s, i)
}

func canVanish(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Pod == PodTerminating && x.Process == Down
}

func vanish(s *State, i int) {
	x := &s.Servers[i]
	x.Pod, x.PodRevision, x.PodFounder, x.Serving, x.Settled = PodNone, Revision{}, false, false, false
	x.PodRescue = NoRescue
	x.Alone = x.Alone && x.Process != Down
	x.Cordoned = x.Cordoned && s.Full // else it may go where its volume goes with it
}

// A deleted claim goes as soon as no pod uses it, and the disk with it.
func canLoseClaim(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Claim == ClaimDeleting && x.Pod == PodNone
}

func loseClaim(s *State, i int) {
	x := &s.Servers[i]
	setAside(x)
	x.Data, x.Behind = false, x.Peer != NoPeer
}

func setAside(x *Server) {
	x.Claim, x.Revision = ClaimNone, Revision{}
	x.Founder, x.Retiring, x.InPlace, x.Failed, x.Astray, x.Rescued = false, false, false, false, false, false
}

// The pods of a cluster that was deleted are deleted as well, sooner or later.
func canBeCollected(s *State, i int) bool {
	x := &s.Servers[i]
	return x.Former && x.isCounted()
}

func collect(s *State, i int) { deletePod(s, s, i) }

func isHung(s *State, i int) bool {
	return s.Servers[i].Process == Hung && s.Servers[i].Pod == PodRunning
}

func resume(s *State, i int) {
	s.Servers[i].Process = Up
	if int(s.Leader) == i {
		s.Servers[i].Serf = Alive // in its own view
	}
}

// A kubelet that is back stops what runs without a pod.
func hasOutlived(s *State, i int) bool { return s.Servers[i].outlives() }

func isCutOff(s *State, i int) bool { return s.Servers[i].cutOff() }

func nodeReturns(s *State, i int) {
	x := &s.Servers[i]
	if x.Pod == PodLost {
		x.Pod = PodRunning
		return
	}
	x.Pod = PodTerminating
}

// Pods of a node that is not heard of are deleted after a while, which its kubelet would have to confirm.
func isLost(s *State, i int) bool   { return s.Servers[i].Pod == PodLost }
func evictFromNode(s *State, i int) { s.Servers[i].Pod = PodStuck }
func isStuck(s *State, i int) bool  { return s.Servers[i].Pod == PodStuck }
func becomeOverdue(s *State, i int) { s.Servers[i].Pod = PodOverdue }

// The endpoints controller and the nodes follow readiness with a delay.
func canRoute(s *State, _ int) bool {
	return s.count(func(x *Server) bool { return x.Routed != s.ready(x) }) > 0
}

func route(s *State, _ int) {
	for i := range s.slots() {
		s.Servers[i].Routed = s.ready(&s.Servers[i])
	}
}

func canSettle(s *State, _ int) bool { return s.count(unsettled) > 0 }

func unsettled(x *Server) bool { return x.Pod == PodRunning && !x.Serving && !x.Routed && !x.Settled }

func settle(s *State, _ int) {
	for i := range s.slots() {
		if unsettled(&s.Servers[i]) {
			s.Servers[i].Settled = true
		}
	}
}

// canonical forgets what nobody remembers: slots of which nothing is left.
func (s *State) canonical() {
	for i := int(s.N) - 1; i >= 0; i-- {
		x := &s.Servers[i]
		if x.Process == Down && (x.Pod == PodNone || x.Pod == PodPending) {
			x.Ring = 0 // whoever starts gets the keys of the Secret
		}
		if x.Claim == ClaimNone && x.Pod == PodNone && x.Process == Down && x.Peer == NoPeer && (x.Serf == Absent || x.Serf == Left) {
			s.remove(i)
		}
	}
}
