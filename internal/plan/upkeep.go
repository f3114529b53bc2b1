package plan

// upkeep restores what should be, whatever else goes on. None of it changes the membership.
func upkeep(v view) []Action {
	if v.Spec.Deleting {
		return nil
	}
	var actions []Action
	for _, s := range v.Servers {
		if action := v.podOf(s); action != nil {
			actions = append(actions, action)
		}
		if action := v.gateOf(s); action != nil {
			actions = append(actions, action)
		}
	}
	for _, pod := range v.Orphans {
		actions = append(actions, DeleteOrphan{Pod: pod})
	}
	if v.evictable() != v.Evictable {
		actions = append(actions, v.switchEvictions())
	}
	if v.Raft.Known && !v.held() && v.Raft.MinQuorum != v.Spec.Replicas {
		actions = append(actions, SetMinQuorum{Servers: v.Spec.Replicas})
	}
	return actions
}

func (v view) switchEvictions() Action {
	if v.Evictable {
		return ForbidEviction{}
	}
	return AllowEviction{}
}

// podOf brings a server's pod back. One that retires is not started again, unless there is no leader: then its vote
// may be the one that is missing.
func (v view) podOf(s Server) Action {
	switch {
	case s.Pod != nil && s.Pod.Finished && !s.Pod.Terminating, v.avoidsOthers(s):
		return DeletePod{Server: s.Name}
	case s.Pod == nil && !s.ClaimDeleting && (!s.Retiring || !v.Raft.Known) && !v.awaitsRevision(s) && !v.abandoned(s):
		return CreatePod{Server: s.Name, Avoid: v.drainedNodes()}
	}
	return nil
}

// awaitsRevision is true for a server without a pod that is going to be replaced in place.
func (v view) awaitsRevision(s Server) bool {
	idle := !takesPart(s) && (v.Raft.Known || !v.Spec.Bootstrapped)
	return idle && s.Revision != v.Spec.Revision && !v.held()
}

// gateOf keeps the readiness gate: a server starts to serve when it is a healthy voter, and stops when it retires or
// is no voter any more. An unhealthy voter keeps its gate, its readiness probe speaks for it: right after an election
// autopilot calls every server unhealthy for a moment, and the Service must not run empty then.
func (v view) gateOf(s Server) Action {
	if s.Pod == nil || s.Pod.Terminating || !v.Raft.Known {
		return nil
	}
	switch {
	case s.Pod.Serving && (s.Retiring || !isVoter(s)):
		return StopServing{Server: s.Name}
	case !s.Pod.Serving && !s.Retiring && v.healthyVoter(s):
		return StartServing{Server: s.Name}
	}
	return nil
}
