package plan

import "github.com/consul-operator/consul-operator/api/reason"

// awaitServers says which server is not a serving voter yet, and what it waits for. A server that was given up is not
// waited for.
func awaitServers(v view) *Decision {
	for _, s := range v.staying {
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
	if len(v.staying) != v.Spec.Replicas || len(v.current()) != v.Spec.Replicas {
		return v.notEnoughVoters(v.Spec.Replicas)
	}
	return nil
}

// awaitVoter waits for a running server to become a healthy voter that serves.
func (v view) awaitVoter(s Server) *Decision {
	switch {
	case s.Agent.Silence == SilenceForbidden:
		return wait(steadily, reason.ConsulRefuses, "the Consul agent of %s refuses the operator (ACLs)%s", s.Name, v.prospect(s))
	case !s.Agent.Answered:
		return wait(often, reason.WaitingForServer, "the Consul agent of %s does not answer yet%s%s",
			s.Name, inBrackets(string(s.Agent.Silence)), v.prospect(s))
	case s.Peer == nil:
		return wait(often, reason.WaitingForVoter, "%s has not joined Raft yet", s.Name)
	case !s.Peer.Voter:
		return wait(often, reason.WaitingForVoter,
			"%s is not a voter yet: autopilot promotes a server once it was stable for a while", s.Name)
	case !v.healthyVoter(s):
		return wait(often, reason.UnhealthyServer, "voter %s is not healthy (Serf: %s, autopilot: %s)%s",
			s.Name, orUnknown(string(s.Member)), orUnknown(string(s.Health)), v.prospect(s))
	case !s.Pod.Ready && !v.isEmpty():
		return wait(often, reason.WaitingForReady, "%s is a healthy voter and not ready to serve yet%s",
			s.Name, inBrackets(s.Pod.Unready))
	}
	return nil
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
