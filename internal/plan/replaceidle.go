package plan

import "github.com/consul-operator/consul-operator/api/reason"

// replaceIdle gives the wanted revision to outdated servers that take no part. A spec that cannot start must never keep a
// better one from being applied. Where there are enough current servers already, such a server is retired instead.
// Unschedulable servers do not count as current; otherwise an evicted server would wait for capacity it does not need.
func replaceIdle(v view) *Decision {
	enough := len(filter(v.current(), func(s Server) bool { return !isHomeless(s) })) >= v.Spec.Replicas
	for _, s := range v.staying() {
		surplus := enough && s.Revision != v.Spec.Revision
		if takesPart(s) || s.ClaimDeleting || surplus {
			continue
		}
		if d := v.replaceIdlePod(s); d != nil {
			return d
		}
	}
	return nil
}

// replaceIdlePod keeps the claim and its serial and replaces the pod. The old pod goes first: a server that joins at the
// last moment then leaves again, and is never left with a claim of a revision that it does not run.
func (v view) replaceIdlePod(s Server) *Decision {
	switch {
	case s.Pod == nil && s.Revision != v.Spec.Revision:
		return step(SetRevision{Server: s.Name}, reason.ReplacingIdleServer,
			"%s takes no part in the cluster: it gets the wanted revision", s.Name)
	case v.hasOutdatedPod(s):
		return step(DeletePod{Server: s.Name}, reason.ReplacingIdleServer,
			"%s takes no part in the cluster: its pod is replaced by one of the wanted revision", s.Name)
	}
	return nil
}
