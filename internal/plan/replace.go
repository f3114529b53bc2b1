package plan

import "time"

const (
	// unconfirmed is how long after the moment when a pod has to be gone its node may take to say so. The moment is by
	// the API server's clock.
	unconfirmed = time.Minute
	// doubt is how long autopilot's doubts are not worth a word: after each election it calls all servers unhealthy.
	doubt = 10 * time.Second
)

// giveUp writes down that a server has failed, before another one takes its place: when autopilot has removed it from
// Raft, or a new leader looks at it with fresh eyes, nothing else tells that its volume is not to be deleted.
func giveUp(v view) *Decision {
	if v.Spec.ReplaceFailedAfter == 0 || v.Spec.ReplacementsLeft == 0 {
		return nil
	}
	for _, s := range v.staying() {
		switch {
		case s.Failed:
		case v.overdue(s):
			return step(MarkFailed{Server: s.Name}, ReasonReplacingFailed,
				"giving up %s: its node has not said for a while that its pod has stopped", s.Name)
		case v.isSick(s) && !v.now.Before(v.replacedAt(s)):
			return step(MarkFailed{Server: s.Name}, ReasonReplacingFailed,
				"giving up %s: it has been unhealthy since %s", s.Name, clock(s.UnhealthySince))
		}
	}
	return nil
}

// overdue says whether a pod had to be gone a while ago: its node does not say so, and is most likely dead.
func (v view) overdue(s Server) bool {
	return s.Pod != nil && s.Pod.Terminating && v.now.After(s.Pod.StopBy.Add(unconfirmed))
}

// lost says whether nothing is heard of a server that should have stopped: neither its node nor its agent speaks.
func (v view) lost(s Server) bool { return v.overdue(s) && !s.Agent.Answered }

// isSick is about voters only: a server without a vote that does not start is a matter of its spec, and another one
// would not start either.
func (v view) isSick(s Server) bool {
	return isVoter(s) && s.Health == HealthUnhealthy && !s.UnhealthySince.IsZero()
}

func (v view) replacedAt(s Server) time.Time { return s.UnhealthySince.Add(v.Spec.ReplaceFailedAfter) }

func hasFailed(s Server) bool { return s.Failed }

// prospect says what becomes of a voter that stays unhealthy.
func (v view) prospect(s Server) string {
	switch {
	case !v.isSick(s) || v.Spec.ReplaceFailedAfter == 0 || v.now.Before(s.UnhealthySince.Add(doubt)):
		return ""
	case v.Spec.ReplacementsLeft == 0:
		return "; it is not replaced: spec.failureReplacement.maxPerHour is used up"
	}
	return "; it is replaced at " + clock(v.replacedAt(s)) + " unless it recovers"
}

// clock is a time of day for people. A time to come says more than a duration, which would be another one at each look.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 MST") }
