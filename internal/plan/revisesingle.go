package plan

// reviseSingle corrects the only server while its process does not run, and says what keeps it from running: there is no
// leader before it does, and nothing is stopped by it. A server that was given up may be the only voter all the same.
func reviseSingle(v view) *Decision {
	if v.Raft.Known || !v.isSingleToBe() || v.isHeld() {
		return nil
	}
	for _, s := range v.Servers { // the vote of a retiring server may be the one that is missing
		if s.ClaimDeleting || s.Pod != nil && s.Pod.Running {
			continue
		}
		if d := v.renew(s); d != nil {
			return d
		}
		if v.isSingle() {
			return v.awaitProcess(s)
		}
	}
	return nil
}

// isSingleToBe reports whether one server, updated in place, is all that is wanted of a cluster that exists.
func (v view) isSingleToBe() bool {
	return v.Spec.Bootstrapped && v.Spec.InPlace && v.Spec.Replicas == 1
}
