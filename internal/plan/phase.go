package plan

import (
	"fmt"
	"slices"
	"strings"
)

// parsePhase returns which of some phases a name is; the first one if it is empty.
func parsePhase(name string, phases []string) (int, error) {
	if name == "" {
		return 0, nil
	}
	i := slices.Index(phases, name)
	if i < 0 {
		return 0, fmt.Errorf("%.40q is none of %s", name, strings.Join(phases, ", "))
	}
	return i, nil
}

// toward is the phase after a phase on the way to the target; the phase itself if it is the target.
func toward[P ~int](phase, target P) P {
	switch {
	case phase < target:
		return phase + 1
	case phase > target:
		return phase - 1
	}
	return phase
}

// canTurnBack reports whether a phase that servers are still getting can be taken back: some have the one before, and the
// others have it. Whoever has no pod gets the present one. What cannot be recorded holds nothing up.
func canTurnBack[P comparable](v view, phase, former P, of func(*Pod) P, record Action) bool {
	if v.isHeld() || v.Spec.Recovery != nil || v.failsAt(record) {
		return false
	}
	someHave := slices.ContainsFunc(v.Servers, func(s Server) bool { return s.Pod != nil && of(s.Pod) == former })
	return someHave && !slices.ContainsFunc(v.Servers, func(s Server) bool {
		if s.Pod == nil {
			return s.Revision != v.Spec.Revision
		}
		return of(s.Pod) != former && of(s.Pod) != phase
	})
}
