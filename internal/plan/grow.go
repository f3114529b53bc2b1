package plan

// bootstrap founds the cluster: the first servers are created together with bootstrap_expect and elect the first
// leader. Once a leader was seen this is over for good: a server with an empty disk and bootstrap_expect would found
// a second, empty cluster.
func bootstrap(v view) *Decision {
	if v.Spec.Bootstrapped {
		return nil
	}
	if v.Raft.Known {
		return step(RecordBootstrapped{}, ReasonBootstrapping, "%s was elected: the cluster exists", v.Raft.Leader)
	}
	if d := hold(v); d != nil {
		return d
	}
	// All founders have to expect the same number, whatever the spec says by now.
	expect := v.Spec.Replicas
	if len(v.Servers) > 0 && v.Servers[0].BootstrapExpect > 0 {
		expect = v.Servers[0].BootstrapExpect
	}
	if len(v.Former) > 0 {
		return wait(lookOften, ReasonFormerCluster, "%s of a former cluster of this name is stopping, and new servers would join it; "+
			"if its node is lost, delete the pod by force", v.Former[0])
	}
	if len(v.Servers) < expect {
		return step(CreateServer{Serial: v.Spec.NextSerial, BootstrapExpect: expect}, ReasonBootstrapping,
			"creating server %d of %d", len(v.Servers)+1, expect)
	}
	// Nothing was ever served, so servers of an older spec are replaced in place whatever they do.
	for _, s := range v.Servers {
		if d := v.replaceInPlace(s); d != nil {
			return d
		}
	}
	for _, s := range v.Servers {
		if d := v.awaitProcess(s); d != nil {
			return d
		}
	}
	return wait(lookOften, ReasonBootstrapping, "%d servers run and are about to elect their first leader", len(v.Servers))
}

// replaceIdle gives outdated servers that take no part the wanted revision. A spec that cannot start must never keep
// a better one from being applied. Where there are enough current servers already, such a server is retired instead; one
// that no node takes is none of them, or a server that was evicted would wait for room that it does not need.
func replaceIdle(v view) *Decision {
	enough := len(filter(v.current(), func(s Server) bool { return !isHomeless(s) })) >= v.Spec.Replicas
	for _, s := range v.staying() {
		if takesPart(s) || s.ClaimDeleting || enough && s.Revision != v.Spec.Revision {
			continue
		}
		if d := v.replaceInPlace(s); d != nil {
			return d
		}
	}
	return nil
}

// replaceInPlace keeps the claim and its serial; only the pod is made anew. The old pod goes first: a server that joins
// at the last moment then leaves again, and is never left with a claim of a revision that it does not run.
func (v view) replaceInPlace(s Server) *Decision {
	switch {
	case s.Pod == nil && s.Revision != v.Spec.Revision:
		return step(SetRevision{Server: s.Name}, ReasonReplacingIdle,
			"%s takes no part in the cluster: it becomes one of the wanted revision", s.Name)
	case s.Pod != nil && s.Pod.Revision != v.Spec.Revision && !s.Pod.Terminating:
		return step(DeletePod{Server: s.Name}, ReasonReplacingIdle,
			"%s takes no part in the cluster: its pod is replaced by one of the wanted revision", s.Name)
	}
	return nil
}

// create adds a server when fewer than wanted are current, or will be, within the surge. One that has failed does not
// count: it may be there for long, and its place is needed now.
func create(v view) *Decision {
	failed := filter(v.Servers, hasFailed)
	if len(v.lasting()) >= v.Spec.Replicas || len(v.Servers)-len(failed) >= v.Spec.Replicas+v.Spec.MaxSurge {
		return nil
	}
	if len(failed) > 0 {
		return step(CreateServer{Serial: v.Spec.NextSerial}, ReasonReplacingFailed,
			"adding a server in the place of %s, which has failed", failed[0].Name)
	}
	if drained := v.drained(); len(drained) > 0 {
		return step(CreateServer{Serial: v.Spec.NextSerial}, ReasonDraining,
			"adding a server in the place of %s, whose node is drained", drained[0].Name)
	}
	return step(CreateServer{Serial: v.Spec.NextSerial}, ReasonCreatingServer,
		"adding a server: %d of %d are of the wanted revision", len(v.current()), v.Spec.Replicas)
}

// awaitServers says which server is not a serving voter yet, and what it waits for. Nobody waits for one that has failed.
func awaitServers(v view) *Decision {
	for _, s := range v.staying() {
		if s.Failed {
			continue
		}
		if d := v.awaitProcess(s); d != nil {
			return d
		}
		if d := v.awaitVoter(s); d != nil {
			return d
		}
	}
	if len(v.staying()) != v.Spec.Replicas || len(v.current()) != v.Spec.Replicas {
		return v.notEnoughVoters(v.Spec.Replicas)
	}
	return nil
}

// awaitProcess waits for a server's process to run.
func (v view) awaitProcess(s Server) *Decision {
	switch {
	case s.Pod != nil && s.Pod.Problem.Reason == ReasonUnschedulable && v.nowhereToGo():
		return wait(lookOn, ReasonUnschedulable, "no node takes %s in the place of %s, whose node is drained (%s): %s",
			s.Name, v.drained()[0].Name, s.Pod.Problem.Message, v.untilThereIsANode())
	case s.Pod != nil && s.Pod.Problem.Reason != "":
		return wait(lookOn, s.Pod.Problem.Reason, "%s: %s%s", s.Name, s.Pod.Problem.Message, v.prospect(s))
	case s.Pod != nil && s.Pod.Terminating:
		return wait(lookOften, ReasonWaitingForServer, "the pod of %s is stopping, and another one takes its place%s",
			s.Name, v.prospect(s))
	case s.Pod == nil || !s.Pod.Running:
		return wait(lookOften, ReasonWaitingForServer, "%s is starting%s", s.Name, v.prospect(s))
	}
	return nil
}

func (v view) untilThereIsANode() string {
	if v.Spec.Replicas == 1 {
		return "the only server is not evicted; to let it go all the same, delete its pod"
	}
	return "until one does, one server at a time may be evicted, and comes back with its node"
}

// awaitVoter waits for a running server to become a healthy voter that serves.
func (v view) awaitVoter(s Server) *Decision {
	switch {
	case !s.Agent.Answered:
		return wait(lookOften, ReasonWaitingForServer, "the Consul agent of %s does not answer yet%s", s.Name, v.prospect(s))
	case s.Peer == nil:
		return wait(lookOften, ReasonWaitingForVoter, "%s has not joined Raft yet", s.Name)
	case !s.Peer.Voter:
		return wait(lookOften, ReasonWaitingForVoter,
			"%s is not a voter yet: autopilot promotes a server once it was stable for a while", s.Name)
	case !v.healthyVoter(s):
		return wait(lookOften, ReasonUnhealthyServer, "voter %s is not healthy (Serf: %s, autopilot: %s)%s",
			s.Name, orUnknown(string(s.Member)), orUnknown(string(s.Health)), v.prospect(s))
	case !s.Pod.Ready:
		return wait(lookOften, ReasonWaitingForReady, "%s is a healthy voter and not ready to serve yet", s.Name)
	}
	return nil
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
