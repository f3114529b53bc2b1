package plan

// revertACLs takes a phase of ACLs back that servers are still getting, as RevertGossip does.
func revertACLs(v view) *Decision {
	phase, next := v.Spec.ACLs.Phase, v.Spec.ACLs.next()
	of := func(p *Pod) ACLPhase { return p.ACLs }
	if next == phase || !canTurnBack(v, phase, next, of, SetACLs{Phase: next}) {
		return nil
	}
	return v.setACLs(next)
}
