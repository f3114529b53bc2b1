package plan

import "github.com/consul-operator/consul-operator/api/reason"

// Restore is the replacement of all data of the cluster with a snapshot. A Job does it; the cluster only makes way.
type Restore struct {
	// Name and UID of the ConsulRestore.
	Name, UID string
	// Recorded reports whether the cluster has made way for it. Over reports whether it has ended, or is gone. Incomplete reports
	// whether it has ended, and nobody knows what the servers have.
	Recorded, Over, Incomplete bool
	// Ready is what it says of itself.
	Ready Problem
	// Next is another one that takes the place of one that is incomplete; nil if there is none.
	Next *Restore
}

// isRestoring reports whether the cluster has made way for a restore, until EndRestore.
func (v view) isRestoring() bool {
	return v.Spec.Restore != nil && v.Spec.Restore.Recorded
}

// awaitRestore leaves the membership alone while a snapshot is restored: Raft refuses one while a change of its configuration is
// pending, and nobody knows what servers say of a state that is being replaced.
func awaitRestore(v view) *Decision {
	switch r := v.Spec.Restore; {
	case r == nil || !r.Recorded:
		return nil
	case r.Next != nil:
		return step(BeginRestore{Name: r.Next.Name, UID: r.Next.UID}, reason.Restoring, "ConsulRestore %s begins, in the place of %s",
			r.Next.Name, r.Name)
	case r.Over:
		return step(EndRestore{}, reason.Restoring, "ConsulRestore %s is over", r.Name)
	default:
		return wait(often, r.Ready.Reason, "ConsulRestore %s replaces all data with a snapshot: %s", r.Name, r.Ready.Message)
	}
}
