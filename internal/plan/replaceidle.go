package plan

// replaceIdle gives the wanted revision to outdated servers that take no part. A spec that cannot start must never keep a
// better one from being applied. Where there are enough current servers already, such a server is retired instead.
// Unschedulable servers do not count as current; otherwise an evicted server would wait for capacity it does not need. A server
// that waits for a volume that is not wanted is let go: it takes a place in the surge, and would wait for ever.
func replaceIdle(v view) *Decision {
	enough := len(filter(v.current(), func(s Server) bool { return !isHomeless(s) })) >= v.Spec.Replicas
	for _, s := range v.staying {
		if d := v.releaseUnbound(s); d != nil {
			return d
		}
		surplus := enough && s.Revision != v.Spec.Revision
		if takesPart(s) || s.ClaimDeleting || surplus || v.lacksSnapshot() {
			continue
		}
		if d := v.replaceIdlePod(s); d != nil {
			return d
		}
	}
	return nil
}
