package plan

// FillsUp reports whether a volume will be full before long: 80 % of it are used. A server that cannot write stops.
func (v Volume) FillsUp() bool { return v.Capacity > 0 && v.Used >= v.Capacity/100*80 }

const gibibyte = 1 << 30

// larger is what a volume grows to that fills up: a quarter more, in whole GiB, since some storage lets a volume grow only every
// few hours. One that is not larger yet is not asked for more.
func (v Volume) larger(limit int64) int64 {
	if !v.FillsUp() || v.isBehind() {
		return v.Requested
	}
	more := (v.Requested/4 + gibibyte - 1) / gibibyte * gibibyte
	return max(v.Requested, min(limit, v.Requested+more))
}

// isBehind reports whether a volume has not grown yet to what was asked for last. What a file system needs for itself is less
// than what it lacks then.
func (v Volume) isBehind() bool { return v.Growing || v.Capacity < v.Requested/100*85 }

// growth lets volumes grow that fill up.
func (v view) growth() (actions []Action) {
	for _, s := range v.Servers {
		if to := s.Volume.larger(v.Spec.GrowUpTo); to > s.Volume.Requested && !s.ClaimDeleting {
			actions = append(actions, GrowVolume{Server: s.Name, Bytes: to})
		}
	}
	return actions
}
