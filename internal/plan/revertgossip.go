package plan

import "slices"

// revertGossip takes a phase of gossip encryption back that servers are still getting, when the opposite is asked for: it may be
// one in which no server starts. Then nothing comes to rest, and SecureGossip would wait for ever. Servers are in this phase and
// the one before, so they go on hearing each other. What cannot be recorded holds nothing up.
func revertGossip(v view) *Decision {
	next := v.Spec.Gossip.next()
	if next == v.Spec.Gossip.Phase || v.isHeld() || v.Spec.Recovery != nil || v.failsAt(SetGossip{Phase: next}) {
		return nil
	}
	if !v.isBetween(next) {
		return nil
	}
	return v.setGossip(next)
}

// isBetween reports whether servers are on the way from a phase to the present one: some have the one, and the others the other.
// Whoever has no pod gets the present one.
func (v view) isBetween(former GossipPhase) bool {
	someHave := slices.ContainsFunc(v.Servers, func(s Server) bool { return s.Pod != nil && s.Pod.Gossip == former })
	return someHave && !slices.ContainsFunc(v.Servers, func(s Server) bool {
		if s.Pod == nil {
			return s.Revision != v.Spec.Revision
		}
		return s.Pod.Gossip != former && s.Pod.Gossip != v.Spec.Gossip.Phase
	})
}
