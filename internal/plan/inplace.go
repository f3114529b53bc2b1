package plan

// Where there is no room for one more server, one at a time gets the wanted revision on the volume it has: it retires
// like any other one, with a second marker beside the first, and when it is gone from Raft it comes back, and its volume
// stays. The markers tell what was begun, whatever the spec says by then.

// hasFuture is false for a server that has to go, whatever its revision.
func hasFuture(s Server) bool { return !s.ClaimDeleting && !s.Failed && !isDrained(s) }

// lasting are the staying servers that are of the wanted revision or, in place, will be.
func (v view) lasting() []Server {
	if !v.Spec.InPlace {
		return v.current()
	}
	return filter(v.staying(), hasFuture)
}

// isWanted says whether a server is not one too many beside those that last.
func (v view) isWanted(s Server) bool {
	others := filter(v.lasting(), func(other Server) bool { return other.Name != s.Name })
	return len(others) < v.Spec.Replicas
}

// updatable says whether a server is to get the wanted revision on its volume. Those that are too many go first, and one
// whose node is silent is not waited for.
func (v view) updatable(s Server) bool {
	return v.Spec.InPlace && v.outdated(s) && hasFuture(s) && v.isWanted(s) && !v.overdue(s)
}

// needless are servers that take no part and are too many: what is left of a surge for which there was no room.
func (v view) needless() []Server {
	if !v.Spec.InPlace {
		return nil
	}
	return filter(v.lasting(), func(s Server) bool { return !takesPart(s) && !v.isWanted(s) })
}

// outdatedOnes are the staying servers that have to retire or to be updated. Who takes no part is replaced in place as
// soon as its pod is gone, or goes before all others if it is one too many. One server is updated when the others are gone.
func (v view) outdatedOnes() []Server {
	if needless := v.needless(); len(needless) > 0 {
		return needless
	}
	if v.Spec.InPlace && v.Spec.Replicas == 1 && len(v.Servers) > 1 {
		return filter(v.staying(), func(s Server) bool { return v.outdated(s) && !v.updatable(s) })
	}
	return filter(v.staying(), func(s Server) bool { return v.outdated(s) && (takesPart(s) || !v.updatable(s)) })
}

// updateInPlace begins: all others serve, so this server is the only one that is missing until it is back.
func (v view) updateInPlace(s Server) *Decision {
	others := v.Spec.Replicas - 1
	return step(MarkRetiring{Server: s.Name, InPlace: true}, ReasonUpdatingInPlace,
		"updating %s in place: it is of an older revision and all others serve; how many of them may fail until it is back: %d",
		s.Name, others-quorum(others))
}

// isOnly says whether there is one server, and nobody else is to be.
func (v view) isOnly() bool { return v.Spec.InPlace && v.Spec.Replicas == 1 && len(v.Servers) == 1 }

// restartOnly updates the only server. It does not leave: nobody could take over or remove it, and a process that has
// left would only be started again as it was. SIGTERM ends it in order, and on its volume it is the one voter, as before.
func (v view) restartOnly() *Decision {
	if len(v.Raft.Peers) != 1 || !isVoter(v.Servers[0]) {
		return nil
	}
	return v.renew(v.Servers[0])
}

// reviseOnly corrects the only server while its process does not run, and says what keeps it from running: there is no
// leader before it does, and nothing is stopped by it. One that has failed meanwhile may be the only voter all the same.
func reviseOnly(v view) *Decision {
	if v.Raft.Known || !v.Spec.Bootstrapped || !v.Spec.InPlace || v.Spec.Replicas != 1 || v.held() {
		return nil
	}
	for _, s := range v.Servers { // the vote of one that retires may be the one that is missing
		if s.ClaimDeleting || s.Pod != nil && s.Pod.Running {
			continue
		}
		if d := v.renew(s); d != nil {
			return d
		}
		if v.isOnly() {
			return v.awaitProcess(s)
		}
	}
	return nil
}

// renew changes the claim first: whoever finds no pod afterwards makes one of the claim's revision, leader or not.
func (v view) renew(s Server) *Decision {
	switch {
	case s.Revision != v.Spec.Revision:
		return step(SetRevision{Server: s.Name}, ReasonUpdatingInPlace,
			"%s, the only server, is about to be restarted in place: there is no leader until it is back", s.Name)
	case s.Pod != nil && s.Pod.Revision != v.Spec.Revision && !s.Pod.Terminating:
		return step(DeletePod{Server: s.Name}, ReasonUpdatingInPlace,
			"%s, the only server, is restarted in place: there is no leader until it is back", s.Name)
	}
	return nil
}

// keepInPlace takes a marker back that nothing asks for any more, or that a failure has overtaken, while the server has
// not left yet: then it goes another way, or not at all. A cluster that is paused has all its servers.
func (v view) keepInPlace(s Server) *Decision {
	switch {
	case !s.InPlace:
		return nil
	case v.overdue(s):
		return step(UnmarkRetiring{Server: s.Name}, ReasonKeepingServer,
			"the node of %s does not say that its pod has stopped: it cannot be updated in place", s.Name)
	case v.canLeave(s) && (v.held() || !v.updatable(s)):
		return step(UnmarkRetiring{Server: s.Name}, ReasonKeepingServer, "%s is not to be updated in place for now", s.Name)
	}
	return nil
}

// comeBack is the end of a server that is updated in place and gone from Raft, if it is still wanted. While nothing may
// change it comes back as it was.
func (v view) comeBack(s Server) *Decision {
	switch {
	case !s.InPlace || !hasFuture(s) || !v.isWanted(s):
		return nil
	case v.held():
		return step(UnmarkRetiring{Server: s.Name}, ReasonKeepingServer, "%s comes back as it was", s.Name)
	}
	return step(SetRevision{Server: s.Name}, ReasonUpdatingInPlace,
		"%s has left: it comes back on its volume, of the wanted revision", s.Name)
}

// mustStay is how many serving voters have to be left when a server goes (I2).
func (v view) mustStay(leaving Server) int {
	if leaving.InPlace {
		return v.Spec.Replicas - 1
	}
	return v.Spec.Replicas
}
