package plan

// reviseStopped gives the wanted revision, on its volume, to a server that cannot start with the one it has, while nobody leads:
// whatever keeps servers from running (a node label, an image, a memory limit) has to be correctable without a leader, which
// there may not be before. Nothing is stopped by it. A server that was only interrupted keeps its revision: that one is known to
// work. Where a single server is updated in place there is no other one to try the revision first.
func reviseStopped(v view) *Decision {
	if v.Raft.Known || !v.Spec.Bootstrapped || v.isHeld() || v.Spec.Recovery != nil || v.Spec.AcceptedLoss != nil {
		return nil
	}
	for _, s := range v.Servers { // the vote of a retiring server may be the one that is missing
		if s.ClaimDeleting || isRunning(s) || !v.cannotStart(s) && !v.isSingle() {
			continue
		}
		if d := v.reviseOnVolume(s, "%s does not run, and nobody leads: it gets the wanted revision on its volume",
			"%s does not run, and nobody leads: its pod is replaced by one with the wanted revision"); d != nil {
			return d
		}
	}
	return nil
}

func isRunning(s Server) bool { return s.Pod != nil && s.Pod.Running }

// cannotStart reports whether a server's pod cannot run, or cannot be created.
func (v view) cannotStart(s Server) bool {
	if s.Pod != nil {
		return s.Pod.Problem.Reason != ""
	}
	return v.failsAt(CreatePod{Server: s.Name, Avoid: v.drainedNodes()})
}
