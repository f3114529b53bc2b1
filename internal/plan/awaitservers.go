package plan

import "github.com/consul-operator/consul-operator/api/reason"

// awaitServers says which server is not a serving voter yet, and what it waits for. A server that was given up is not
// waited for.
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
	case s.Pod != nil && s.Pod.Problem.Reason != "":
		return v.awaitRepair(s)
	case s.Pod != nil && s.Pod.Terminating:
		return wait(often, reason.WaitingForServer, "the pod of %s is stopping, and another one takes its place%s",
			s.Name, v.prospect(s))
	case s.Pod == nil || !s.Pod.Running:
		return wait(often, reason.WaitingForServer, "%s is starting%s", s.Name, v.prospect(s))
	}
	return nil
}

// awaitRepair says what keeps a server from running.
func (v view) awaitRepair(s Server) *Decision {
	problem := s.Pod.Problem
	if problem.Reason == reason.Unschedulable && v.nowhereToGo() {
		return wait(steadily, reason.Unschedulable, "no node takes %s in the place of %s, whose node is drained (%s): %s",
			s.Name, v.drained()[0].Name, problem.Message, v.untilThereIsANode())
	}
	return wait(steadily, problem.Reason, "%s: %s%s", s.Name, problem.Message, v.prospect(s))
}

func (v view) untilThereIsANode() string {
	if v.Spec.Replicas == 1 {
		return "the only server is not evicted; to let it go all the same, delete its pod"
	}
	return "until a node does, one server at a time may be evicted, and comes back with its node"
}

// awaitVoter waits for a running server to become a healthy voter that serves.
func (v view) awaitVoter(s Server) *Decision {
	switch {
	case !s.Agent.Answered:
		return wait(often, reason.WaitingForServer, "the Consul agent of %s does not answer yet%s", s.Name, v.prospect(s))
	case s.Peer == nil:
		return wait(often, reason.WaitingForVoter, "%s has not joined Raft yet", s.Name)
	case !s.Peer.Voter:
		return wait(often, reason.WaitingForVoter,
			"%s is not a voter yet: autopilot promotes a server once it was stable for a while", s.Name)
	case !v.healthyVoter(s):
		return wait(often, reason.UnhealthyServer, "voter %s is not healthy (Serf: %s, autopilot: %s)%s",
			s.Name, orUnknown(string(s.Member)), orUnknown(string(s.Health)), v.prospect(s))
	case !s.Pod.Ready:
		return wait(often, reason.WaitingForReady, "%s is a healthy voter and not ready to serve yet", s.Name)
	}
	return nil
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// notEnoughVoters says that a server cannot go because too few healthy voters would stay.
func (v view) notEnoughVoters(toKeep int) *Decision {
	return wait(often, reason.NotEnoughHealthyVoters,
		"no server can retire: %d healthy voters that serve would have to stay, there are %d", toKeep, len(v.serving()))
}
