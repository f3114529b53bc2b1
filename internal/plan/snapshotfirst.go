package plan

import "github.com/consul-operator/consul-operator/api/reason"

// UpgradeSnapshot is the ConsulSnapshot that is taken before servers get another version of Consul.
type UpgradeSnapshot struct {
	// Name of the ConsulSnapshot.
	Name string
	// Exists reports whether it was asked for, and Good whether it is stored and verified.
	Exists, Good bool
	// Failure says why it could not be taken, and Remedy how to go on; Failure is empty if it is good, or is being taken.
	Failure, Remedy string
}

// lacksSnapshot reports whether an upgrade waits until the cluster is saved.
func (v view) lacksSnapshot() bool {
	return v.Spec.UpgradeSnapshot != nil && !v.Spec.UpgradeSnapshot.Good
}

// snapshotFirst has a snapshot taken before the first server of another version is there: what a newer version has written, an
// older one may not read, and the snapshot is the only way back.
func snapshotFirst(v view) *Decision {
	switch s := v.Spec.UpgradeSnapshot; {
	case !v.lacksSnapshot() || len(v.outdatedOnes()) == 0:
		return nil
	case !s.Exists:
		return step(TakeSnapshot{Name: s.Name}, reason.SavingSnapshot, "taking ConsulSnapshot %s before the upgrade", s.Name)
	case s.Failure != "":
		return wait(steadily, reason.SnapshotNeeded, "the upgrade waits for ConsulSnapshot %s: %s; %s", s.Name, s.Failure, s.Remedy)
	default:
		return wait(often, reason.SavingSnapshot, "ConsulSnapshot %s is taken before the upgrade", s.Name)
	}
}
