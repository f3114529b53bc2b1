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
	return wait(often, reason.NoLeader, "no leader: %s%s", v.Raft.Unknown, v.wayOut())
}

// wayOut is what a person may do where the missing servers do not come back by themselves.
func (v view) wayOut() string {
	l := v.loss()
	if l.survivor == nil || l.quorumWithout(slices.Concat(l.gone, l.stuck)) {
		return ""
	}
	return fmt.Sprintf("; if %s cannot come back, carry on with the data of %s: %s",
		strings.Join(l.missing(), ", "), l.survivor.Name, v.acceptLossCommand(l.missing()))
}
