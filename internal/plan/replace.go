package plan

import (
	"fmt"
	"time"
)

// unconfirmed is how long after the moment when a pod has to be gone its node may take to say so.
const unconfirmed = 30 * time.Second

// overdue says whether a pod had to be gone a while ago: its node does not say so, and is most likely dead.
func (v view) overdue(s Server) bool {
	return s.Pod != nil && s.Pod.Terminating && v.now.After(s.Pod.StopBy.Add(unconfirmed))
}

// lost says whether nothing is heard of a server that should have stopped: neither its node nor its agent speaks.
func (v view) lost(s Server) bool { return v.overdue(s) && !s.Agent.Answered }

// failed says whether another server has to take a server's place: it is overdue, or a voter that has been unhealthy for
// too long, as the leader's autopilot has it. A server without a vote that does not start is a matter of its
// spec, another one would not start either.
func (v view) failed(s Server) bool {
	if s.Failed {
		return true
	}
	if v.Spec.ReplaceFailedAfter == 0 || v.Spec.ReplacementsLeft == 0 {
		return false
	}
	return v.overdue(s) || v.isSick(s) && !v.now.Before(v.replacedAt(s))
}

func (v view) isSick(s Server) bool {
	return isVoter(s) && s.Health == HealthUnhealthy && !s.UnhealthySince.IsZero()
}

func (v view) replacedAt(s Server) time.Time { return s.UnhealthySince.Add(v.Spec.ReplaceFailedAfter) }

// anyFailed is a server that has to be replaced; nil if there is none.
func (v view) anyFailed() *Server {
	for _, s := range v.staying() {
		if v.failed(s) {
			return &s
		}
	}
	return nil
}

// prospect says what becomes of a voter that stays unhealthy.
func (v view) prospect(s Server) string {
	switch {
	case !v.isSick(s) || v.Spec.ReplaceFailedAfter == 0 || v.failed(s):
		return ""
	case v.Spec.ReplacementsLeft == 0:
		return "; it is not replaced: spec.failureReplacement.maxPerHour is used up"
	}
	return fmt.Sprintf("; it is replaced at %s unless it recovers", v.replacedAt(s).UTC().Format("15:04:05 MST"))
}
