package plan

// replaceIdle gives the wanted revision to outdated servers that take no part. A spec that cannot start must never keep a
// better one from being applied. Where there are enough current servers already, such a server is retired instead.
// Unschedulable servers do not count as current; otherwise an evicted server would wait for capacity it does not need.
func replaceIdle(v view) *Decision {
	enough := len(filter(v.current(), func(s Server) bool { return !isHomeless(s) })) >= v.Spec.Replicas
	for _, s := range v.staying {
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
