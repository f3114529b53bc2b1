package sim

import (
	"fmt"
	"slices"

	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// longest is more steps than any fair run takes.
const longest = 2000

// schedule is an order in which Consul and Kubernetes do what they have to do.
type schedule struct {
	kinds []*kind
	good  map[fingerprint]struct{} // from here the desired state is reached
}

// schedules are the order in which most things happen, and the opposite, in which what takes minutes comes first.
func schedules() []*schedule {
	backwards := slices.Clone(progress)
	slices.Reverse(backwards)
	return []*schedule{{progress, map[fingerprint]struct{}{}}, {backwards, map[fingerprint]struct{}{}}}
}

// everyOther is which of the states are followed on the second schedule, too: the same ones in each exploration.
const everyOther = 4

// settles follows a state on the first schedule, and some of them on the others as well.
func (x *explorer) settles(s State) (*Violation, []string) {
	for i, order := range x.schedules {
		if i > 0 && len(x.nodes)%everyOther != 0 {
			continue
		}
		if violation, story := order.converge(s); violation != nil {
			return violation, story
		}
	}
	return nil, nil
}

// converge follows a state fairly and without faults: the operator acts whenever it wants to, otherwise the next thing
// that Consul or Kubernetes have to do is done. It fails if the desired state is not reached (I7), and with any
// violation on the way. States from which it is known to be reached end the walk.
func (x *schedule) converge(s State) (*Violation, []string) {
	start := s
	path := map[fingerprint]struct{}{}
	for range longest {
		key := s.fingerprint()
		if _, ok := x.good[key]; ok {
			x.remember(path)
			return nil, nil
		}
		if _, ok := path[key]; ok {
			return violated(invariant.I7, "without faults the cluster goes round in circles"), x.retell(start, len(path)+20)
		}
		path[key] = struct{}{}
		next, _, violation := x.fairStep(s)
		if violation != nil {
			return violation, x.retell(start, len(path))
		}
		if next == nil {
			if violation := rest(&s); violation != nil {
				return violation, x.retell(start, len(path))
			}
			x.remember(path)
			return nil, nil
		}
		s = *next
	}
	return violated(invariant.I7, "the desired state is not reached in %d steps", longest), x.retell(start, longest)
}

func (x *schedule) remember(path map[fingerprint]struct{}) {
	for key := range path {
		x.good[key] = struct{}{}
	}
}

// fairStep is the next state of a fair run, nil at its end, and what happened.
func (x *schedule) fairStep(s State) (*State, string, *Violation) {
	decision := plan.Plan(observe(&s, &s), now)
	actions := actionsOf(decision)
	if violation := checkAll(decision, actions, &s); violation != nil {
		return nil, tell(decision, actions), violation
	}
	if next := apply(actions, &s, s); len(actions) > 0 {
		next.canonical()
		if next != s {
			return &next, tell(decision, actions), nil
		}
	}
	for _, k := range x.kinds {
		if k.unreliable && !s.Returns {
			continue
		}
		for i := range max(1, int(s.N)) { // slot 0 is there for what concerns the whole cluster
			if (i > 0 && k.whole) || i >= int(s.N) && !k.whole || !k.can(&s, i) {
				continue
			}
			e := event{k, i}
			next, violation := e.happen(&s)
			next.canonical()
			return &next, e.String(), violation
		}
	}
	return nil, tell(decision, actions), nil
}

// retell is a fair run in words.
func (x *schedule) retell(s State, steps int) []string {
	lines := []string{"— from here on without faults —"}
	for range steps {
		next, what, violation := x.fairStep(s)
		lines = append(lines, what)
		if next == nil || violation != nil {
			break
		}
		s = *next
		lines = append(lines, "  "+s.String())
	}
	return lines
}

// rest judges a state in which nothing happens any more.
func rest(s *State) *Violation {
	decision := plan.Plan(observe(s, s), now)
	if actions := actionsOf(decision); len(actions) > 0 {
		return violated(invariant.I5, "the operator does the same again and again: %s", tell(decision, actions))
	}
	switch {
	case s.Paused:
		if s.readable() && s.count(func(x *Server) bool { return x.InPlace && !x.outlives() }) > 0 {
			return violated(invariant.I9, "while the cluster is paused clients are kept from a server that is to be updated in place")
		}
		return nil
	case s.lostForGood() && !s.recoverable():
		if s.readable() {
			return violated(invariant.I7, "a leader leads without a quorum")
		}
		return nil
	case s.count(func(x *Server) bool { return s.isDeaf(x) && (x.cutOff() || x.Claim != ClaimBound) }) > 0:
		return nil // only its node could start it again, or it would come back without its data
	case s.count((*Server).outlives) > 0: // a person has to stop what only a person can have left behind
		if s.readable() {
			return s.serves()
		}
		return nil
	case s.count((*Server).neverJoins) > 0:
		return s.serves()
	case !s.isBad(s.Wanted) && s.count(func(x *Server) bool { return x.Claim == ClaimBound && x.Pod == PodNone && !x.Retiring }) > 0:
		return violated(invariant.I7, "a server stays and gets no pod: %s", decision.Message)
	case s.drainWaits():
		return violated(invariant.I7, "a drain waits for ever: %s", decision.Message)
	case s.InPlace && s.Bad != 1 && s.count(s.lasts) > int(s.Replicas): // nothing has room where nothing can start
		return violated(invariant.I7, "a server waits for room that nobody needs it to have")
	case s.isBad(s.Wanted), s.count(s.unschedulable) > 0:
		return s.serves()
	case !decision.Done:
		return violated(invariant.I7, "nothing happens any more and the operator waits: %s: %s", decision.Reason, decision.Message)
	}
	return s.asWanted()
}

// lostForGood reports whether too many voters have lost their disks. Only a recovery helps.
func (s *State) lostForGood() bool {
	return s.Founded && s.count(func(x *Server) bool { return x.Peer == Voter && x.Data && !s.goneForGood(x) }) < s.quorum()
}

// goneForGood reports whether a process is never started again, or cannot start on a volume that is lost with its pod.
func (s *State) goneForGood(x *Server) bool {
	if x.Claim == ClaimDeleting && x.Pod == PodPending && s.isBad(x.PodRevision) {
		return true
	}
	return !s.Returns && (x.Process == Down && x.cutOff() || x.Alone)
}

// neverJoins reports whether a server is waited for in vain. Without a vote it is not replaced for being slow, since another one
// would be no faster. It may have had a vote: autopilot removed it from Raft before it was given up.
func (x *Server) neverJoins() bool { return x.Alone && x.Peer != Voter }

// serves says whether a cluster that cannot become what is wanted still serves as it did.
func (s *State) serves() *Violation {
	if !s.Founded || s.InPlace && s.Replicas == 1 { // the only server was stopped for it
		return nil
	}
	if s.Bad == 1 && !s.hasQuorum() { // users want what stopped the servers in the first place
		return nil
	}
	routed, well := s.count(func(x *Server) bool { return x.Routed }), s.count(s.well)
	if s.Leader == nobody || routed == 0 && well > 0 {
		return violated(invariant.I9, "a revision that cannot start keeps the running servers from serving")
	}
	return nil
}

// asWanted says what a cluster that calls itself done lacks.
func (s *State) asWanted() *Violation {
	if n := s.count(func(x *Server) bool { return !x.remains() }); n != int(s.Replicas) {
		return violated(invariant.I7, "%d servers or remains of them, %d are wanted", n, s.Replicas)
	}
	for i := range s.slots() {
		x := &s.Servers[i]
		if x.remains() {
			continue
		}
		if x.Claim != ClaimBound || x.Revision != s.Wanted || x.PodRevision != s.Wanted || x.Peer != Voter ||
			x.Process != Up || x.Serf != Alive || x.Retiring || x.Behind || x.Astray {
			return violated(invariant.I7, "#%d is not a voter as wanted: %s", i, x)
		}
		if !x.Serving || !x.Routed {
			return violated(invariant.I9, "the Service sends no clients to #%d, a healthy voter", i)
		}
	}
	if phase := s.Wanted.Gossip(); phase != plan.GossipPhase(s.Gossip) {
		return violated(invariant.I7, "gossip encryption stays %s", phase)
	}
	if phase := s.Wanted.TLS(); phase != plan.TLSPhase(s.TLS) {
		return violated(invariant.I7, "TLS stays %s", phase)
	}
	if phase := s.Wanted.ACLs(); phase != plan.ACLPhase(s.ACLs) {
		return violated(invariant.I7, "ACLs stay %s", phase)
	}
	if s.Wanted.ACLs() != plan.ACLsOff && (!s.TokensKnown || !s.TokensMade) {
		return violated(invariant.I7, "the operator has no token")
	}
	if s.Wanted.ACLs() != plan.ACLsOff && !s.tokensRotated() {
		return violated(invariant.I7, "the rotation of the ACL tokens does not end")
	}
	if s.Wanted.Gossip() != plan.GossipOff && (s.Rotate || s.keyStage() != plan.KeySettled) {
		return violated(invariant.I7, "the rotation of the gossip key does not end")
	}
	if s.Founding != noFounding || s.Restore != noRestore {
		return violated(invariant.I7, "the restore does not end")
	}
	if s.Leader == nobody || !s.Bootstrapped || s.MinQuorum != s.Replicas || s.Transfer != noTransfer ||
		int(s.MinAvailable) != observe(s, s).AllPods() {
		return violated(invariant.I7, "%s",
			fmt.Sprintf("leader %d, bootstrapped %t, min_quorum %d, minAvailable %d, transfer %d",
				s.Leader, s.Bootstrapped, s.MinQuorum, s.MinAvailable, s.Transfer))
	}
	return nil
}
