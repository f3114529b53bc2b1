package plan

import "github.com/consul-operator/consul-operator/api/reason"

// Founding is the ConsulRestore with which a new cluster begins.
type Founding struct {
	// Name of the ConsulRestore.
	Name string
	// Recorded reports whether it is recorded that the cluster begins with a snapshot, and Asked whether the spec still says so, or
	// the ConsulRestore is there.
	Recorded, Asked bool
	// Exists reports whether the ConsulRestore is there, Prepared whether the snapshot was read and can be restored, and Restored
	// whether it is.
	Exists, Prepared, Restored bool
	// Ready says what it waits for, or why it failed.
	Ready Problem
}

// foundFromSnapshot has the snapshot read before the first server is created: what cannot be restored founds nothing, and the
// names of servers do not meet those in the snapshot. A person who takes the field away and deletes the ConsulRestore has an
// empty cluster.
func foundFromSnapshot(v view) *Decision {
	f := v.Spec.Founding
	switch {
	case f == nil || v.isHeld():
		return nil
	case f.Recorded && (f.Restored || !f.Asked):
		return step(EndFounding{}, reason.Bootstrapping, "the cluster has the data with which it begins")
	case !f.Recorded:
		return step(BeginFounding{}, reason.Bootstrapping, "the cluster begins with a snapshot")
	case !f.Exists:
		return step(AskRestore{Name: f.Name}, reason.Bootstrapping, "the cluster begins with a snapshot: reading it")
	case f.Prepared || v.Spec.Bootstrapped || len(v.Servers) > 0:
		return nil
	}
	return v.awaitData()
}

// isEmpty reports whether the data with which a new cluster begins is still missing. No client is to see it so.
func (v view) isEmpty() bool { return v.Spec.Founding != nil && v.Spec.Founding.Recorded }

// awaitData says what that data waits for.
func (v view) awaitData() *Decision {
	f := v.Spec.Founding
	return wait(often, f.Ready.Reason, "the cluster begins with a snapshot, ConsulRestore %s: %s", f.Name, f.Ready.Message)
}
