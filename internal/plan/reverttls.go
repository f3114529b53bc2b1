package plan

// revertTLS takes a phase of TLS back that servers are still getting, as RevertGossip does.
func revertTLS(v view) *Decision {
	phase, next := v.Spec.TLS.Phase, v.Spec.TLS.next()
	of := func(p *Pod) TLSPhase { return p.TLS }
	if next == phase || !canTurnBack(v, phase, next, of, SetTLS{Phase: next}) {
		return nil
	}
	return v.setTLS(next)
}
