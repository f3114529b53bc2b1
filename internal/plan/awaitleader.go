package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/consul-operator/consul-operator/api/reason"
)

// awaitLeader stops everything below: the leader says who is a voter, who is healthy and who is dead.
func awaitLeader(v view) *Decision {
	if v.Raft.Known {
		return nil
	}
	if v.isSingle() {
		if d := v.awaitProcess(v.Servers[0]); d != nil {
			return d
		}
	}
	return wait(often, reason.NoLeader, "no leader: %s%s%s", v.Raft.Unknown, v.obstacle(), v.wayOut())
}

// obstacle says what keeps the first server that cannot start from running. A correction of the spec arrives without a leader.
func (v view) obstacle() string {
	i := slices.IndexFunc(v.Servers, v.keptBySpec)
	if i < 0 {
		return ""
	}
	s := v.Servers[i]
	return fmt.Sprintf("; %s: %s (a corrected spec is applied without a leader)", s.Name, s.Pod.Problem.Message)
}

func (v view) keptBySpec(s Server) bool {
	return s.Pod != nil && !s.Pod.Running && s.Pod.Problem.Reason != "" && !v.overdue(s)
}

// wayOut is what a person may do where the missing servers do not come back by themselves. Who only waits for a node has all that
// it had.
func (v view) wayOut() string {
	l := v.loss()
	stuck := slices.DeleteFunc(slices.Clone(l.stuck), func(name string) bool {
		s := v.server(name)
		return v.keptBySpec(*s) && s.Pod.Problem.Reason == reason.Unschedulable
	})
	if l.survivor == nil || l.quorumWithout(slices.Concat(l.gone, stuck)) {
		return ""
	}
	return fmt.Sprintf("; if %s cannot come back, carry on with the data of %s: %s",
		strings.Join(l.missing(), ", "), l.survivor.Name, v.acceptLossCommand(l.missing()))
}
