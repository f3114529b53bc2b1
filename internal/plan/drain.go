package plan

import "slices"

// drained are the staying servers whose node takes no pods any more: somebody is about to empty it. Their evictions are
// refused (the disruption budget), each is replaced by a server elsewhere, and then goes as in an upgrade.
func (v view) drained() []Server { return filter(v.staying(), isDrained) }

func isDrained(s Server) bool { return s.Pod != nil && s.Pod.Cordoned }

// leaveInPlace prepares for what is left where no other node takes a server: one at a time is evicted, and comes back on
// its volume when its node does. Leadership goes to a server that is not drained before that.
func leaveInPlace(v view) *Decision {
	if !v.nowhereToGo() || !v.leaderIsDrained() {
		return nil
	}
	for _, s := range v.staying() {
		if !isDrained(s) && v.serves(s) {
			return step(TransferLeadership{From: v.Raft.Leader, To: s.Name}, ReasonDraining,
				"the node of %s is drained and no other node takes a server: handing leadership to %s first", v.Raft.Leader, s.Name)
		}
	}
	return nil
}

// nowhereToGo says whether a server of a drained node waits for another one that no node takes.
func (v view) nowhereToGo() bool {
	return len(v.drained()) > 0 && slices.ContainsFunc(v.staying(), func(s Server) bool {
		return isHomeless(s) && !v.avoidsOthers(s)
	})
}

// drainedNodes are closed to new pods, also when they are drained no more. Else the server that was added would wait for the
// drained one's node to be back, be first in the scheduler's queue, and have the place of the one whose volume is there.
func (v view) drainedNodes() []string {
	var nodes []string
	for _, s := range v.drained() {
		nodes = append(nodes, s.Pod.Node)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// avoidsOthers is true for a pod that no node takes and that is kept from other nodes than it would be now. While a server is
// missing nothing changes: it may have been evicted, and its place is to be free when it comes back.
func (v view) avoidsOthers(s Server) bool {
	serving := len(filter(v.staying(), v.serves))
	return isHomeless(s) && !s.Pod.Terminating && serving >= v.Spec.Replicas && !slices.Equal(s.Pod.Avoids, v.drainedNodes())
}

// isHomeless is true for a server that no node takes.
func isHomeless(s Server) bool {
	return !takesPart(s) && s.Pod != nil && s.Pod.Problem.Reason == ReasonUnschedulable
}

// evictable says whether one server may be evicted, as long as all serve: in place, where there is no other way. The
// leader is not to be the one, unless all are drained or nobody may hand leadership over. An operator that is not told
// of nodes cannot replace anybody in time, and lets one go at a time.
func (v view) evictable() bool {
	if !v.NodesKnown {
		return true
	}
	if v.Spec.Replicas == 1 { // the only one has to be let go by a person
		return false
	}
	drained, serving := len(v.drained()), len(filter(v.staying(), v.serves))
	if drained == 0 || serving < v.Spec.Replicas || !v.Raft.Known || !v.leaderIsStable() {
		return false
	}
	return v.held() || v.nowhereToGo() && (!v.leaderIsDrained() || drained >= serving)
}

func (v view) leaderIsDrained() bool { return slices.ContainsFunc(v.drained(), v.leads) }
