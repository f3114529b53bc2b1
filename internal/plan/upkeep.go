package plan

import (
	"maps"
	"slices"
)

// upkeep restores what should be, whatever the rules decide. None of it changes the membership.
func upkeep(v view) []Action {
	if v.Damaged != nil { // a pod could be created for a server that was given up
		return nil
	}
	var actions []Action
	if v.Spec.Unrecorded {
		actions = append(actions, RecordBootstrapped{})
	}
	if v.Spec.Gossip.Unrecorded {
		actions = append(actions, SetGossip{Phase: v.Spec.Gossip.Phase})
	}
	if v.Spec.TLS.Unrecorded {
		actions = append(actions, SetTLS{Phase: v.Spec.TLS.Phase})
	}
	if v.Spec.ACLs.Unrecorded {
		actions = append(actions, SetACLs{Phase: v.Spec.ACLs.Phase})
	}
	if action := v.guard(); action != nil { // before a pod is created: the budget has to count it
		actions = append(actions, action)
	}
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
	return slices.Concat(actions, v.tokens(), v.catalog(), v.autopilot(), v.reload(), v.certificates(), v.growth(), v.versions())
}

// autopilot tells autopilot what users want of it. Consul reads the settings from a file only when a cluster is founded.
func (v view) autopilot() (actions []Action) {
	if !v.Raft.Known || v.isHeld() {
		return nil
	}
	if v.Raft.MinQuorum != v.Spec.Replicas {
		actions = append(actions, SetMinQuorum{Servers: v.Spec.Replicas})
	}
	changes := maps.Clone(v.Spec.Autopilot)
	maps.DeleteFunc(changes, func(name, value string) bool { return v.Raft.Autopilot[name] == value })
	if len(changes) > 0 {
		actions = append(actions, SetAutopilot{Settings: changes})
	}
	return actions
}

// guard keeps the disruption budget. It forbids every eviction by asking for all pods that there are; the server of a
// draining node is replaced instead. So it asks for as many as are ready while nothing happens, and alerts on it are true.
func (v view) guard() Action {
	wanted := SetMinAvailable{Pods: v.AllPods()}
	if v.evictable() {
		wanted = SetMinAvailable{Pods: max(1, v.Spec.Replicas-1), Because: "one server at a time may be evicted"}
	}
	if v.MinAvailable == nil || *v.MinAvailable == wanted.Pods {
		return nil
	}
	return wanted
}

// versions records which version ran last on a volume. One that never joined has written nothing that others read.
func (v view) versions() (actions []Action) {
	for _, s := range v.Servers {
		if s.Peer != nil && s.Agent.Version != "" && s.Agent.Version != s.Wrote {
			actions = append(actions, RecordVersion{Server: s.Name, Version: s.Agent.Version})
		}
	}
	return actions
}

// podOf brings a server's pod back.
func (v view) podOf(s Server) Action {
	switch {
	case v.isSpent(s), v.avoidsOtherNodes(s):
		return DeletePod{Server: s.Name}
	case v.lacksPod(s) && !v.Spec.ACLs.Missing:
		return CreatePod{Server: s.Name, Avoid: v.drainedNodes()}
	}
	return nil
}

// lacksPod reports whether a server is to have a pod and has none.
func (v view) lacksPod(s Server) bool {
	waits := v.awaitsRevision(s) || v.awaitsWrongVolume(s)
	return s.Pod == nil && !s.ClaimDeleting && v.mayStart(s) && !waits
}

// isSpent reports whether a server will never run again in its pod and another pod may take its place. One that failed at
// once, because its node refuses it, waits for a while: the next one may fail in the same way.
func (v view) isSpent(s Server) bool {
	return s.Pod != nil && s.Pod.Finished && !s.Pod.Terminating && !v.now.Before(s.Pod.Created.Add(betweenPods))
}

// mayStart reports whether a server may run. A retiring server is not started again, unless there is no leader: then its vote
// may be the one that is missing.
func (v view) mayStart(s Server) bool { return (!s.Retiring || v.lacksLeader()) && !v.isAbandoned(s) }

// awaitsRevision reports whether a server that takes no part is about to get the wanted revision.
func (v view) awaitsRevision(s Server) bool {
	idle := !takesPart(s) && (v.Raft.Known || !v.Spec.Bootstrapped)
	return idle && s.Revision != v.Spec.Revision && !v.isHeld() && !v.lacksSnapshot()
}

// awaitsWrongVolume reports whether a server that takes no part waits for a volume that is not wanted any more.
func (v view) awaitsWrongVolume(s Server) bool {
	return s.WrongVolume && s.Unbound && !takesPart(s) && !v.isHeld()
}

// gateOf keeps the readiness gate: a server starts to serve when it is a healthy voter, and stops when it retires or is no
// voter any more. An unhealthy voter keeps its gate, and its readiness probe decides: right after an election autopilot
// calls every server unhealthy for a moment, and the Service must not run empty then.
func (v view) gateOf(s Server) Action {
	if s.Pod == nil || s.Pod.Terminating || !v.Raft.Known {
		return nil
	}
	switch {
	case s.Pod.Serving && (s.Retiring || !isVoter(s)):
		return StopServing{Server: s.Name}
	case !s.Pod.Serving && !s.Retiring && v.healthyVoter(s) && !v.isEmpty():
		return StartServing{Server: s.Name}
	}
	return nil
}

// evictable reports whether one server may be evicted while all serve: the last resort where no other node takes a server.
// The leader is not to be evicted, unless all servers are drained or none may take over. An operator that does not see nodes
// cannot replace a server in time, and lets one go at a time.
func (v view) evictable() bool {
	switch {
	case !v.NodesKnown:
		return true
	case v.Spec.Replicas == 1, !v.allServeUnderStableLeader(): // a single server has to be let go by a person
		return false
	}
	drained, serving := len(filter(v.drained(), staysUp)), len(v.serving()) // one that was evicted goes
	if drained == 0 {
		return false
	}
	return v.isHeld() || v.awaitsPerson() || v.nowhereToGo() && (!v.leaderIsDrained() || drained >= serving)
}

// awaitsPerson reports whether no server is added before a person has decided something.
func (v view) awaitsPerson() bool {
	restore := v.Spec.Restore
	return v.lacksSnapshot() || restore != nil && restore.Incomplete
}

func (v view) allServeUnderStableLeader() bool {
	return len(v.serving()) >= v.Spec.Replicas && v.Raft.Known && v.leaderIsStable()
}
