package plan

import "github.com/consul-operator/consul-operator/api/reason"

// giveUp records that a server has failed, before another one takes its place. Nothing else would tell that its volume is
// not to be deleted once autopilot has removed it from Raft, or a new leader judges anew.
func giveUp(v view) *Decision {
	if v.Spec.ReplaceFailedAfter == 0 || v.whyNotReplaced() != "" {
		return nil
	}
	for _, s := range v.staying {
		switch {
		case s.Failed:
		case v.overdue(s):
			return step(MarkFailed{Server: s.Name}, reason.ReplacingFailedServer,
				"giving up %s: its node has not confirmed for a while that its pod has stopped", s.Name)
		case v.isSick(s) && !v.now.Before(v.replacedAt(s)) && !v.othersLagToo(s):
			return step(MarkFailed{Server: s.Name}, reason.ReplacingFailedServer,
				"giving up %s: it has been unhealthy since %s", s.Name, clock(s.UnhealthySince))
		}
	}
	return nil
}
