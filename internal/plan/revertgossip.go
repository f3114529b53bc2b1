package plan

// revertGossip takes a phase of gossip encryption back that servers are still getting, when the opposite is asked for: it may be
// one in which no server starts. Then nothing comes to rest, and SecureGossip would wait for ever. Servers are in this phase and
// the one before, so they go on hearing each other.
func revertGossip(v view) *Decision {
	phase, next := v.Spec.Gossip.Phase, v.Spec.Gossip.next()
	of := func(p *Pod) GossipPhase { return p.Gossip }
	if next == phase || !canTurnBack(v, phase, next, of, SetGossip{Phase: next}) {
		return nil
	}
	return v.setGossip(next)
}
