package plan

import (
	"slices"
	"time"
)

// awaitRelease leaves a cluster as it is while it is held.
func awaitRelease(v view) *Decision {
	if !v.isHeld() {
		return nil
	}
	return v.leaveAlone()
}

func (v view) leaveAlone() *Decision {
	problem := v.held()
	return wait(v.heldInterval(), problem.Reason, "%s", problem.Message)
}

// heldInterval is the requeue interval of a held cluster. A server that was started before goes on by itself, and nothing
// notifies the operator when it becomes a voter.
func (v view) heldInterval() time.Duration {
	if slices.ContainsFunc(v.Servers, func(s Server) bool { return !v.healthyVoter(s) }) {
		return steadily
	}
	return 0
}
