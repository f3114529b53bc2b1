package plan

import "github.com/consul-operator/consul-operator/api/reason"

// FormerVolumes are the volume claims of a former cluster that this one takes over.
type FormerVolumes struct {
	// Of is the UID of the former cluster, and Identity that from which the ids of its servers follow.
	Of, Identity string
	// Servers are those that are not taken over yet.
	Servers []string
	// Recorded reports whether they are being taken over.
	Recorded bool
	// Missing says why they cannot be; nil if they can.
	Missing *Problem
}

// beginAdoption records that the cluster takes over the volumes of a former one. From then on it is a cluster that exists: its
// servers start with the data that they have, and elect a leader, or their quorum is recovered.
func (v view) beginAdoption() *Decision {
	former := v.Spec.FormerVolumes
	switch {
	case former == nil || len(v.Servers) > 0:
		return nil
	case former.Missing != nil:
		return wait(steadily, former.Missing.Reason, "%s", former.Missing.Message)
	}
	return step(BeginAdoption{Of: former.Of, Identity: former.Identity}, reason.Bootstrapping,
		"taking over %d volumes of a former cluster", len(former.Servers))
}

// isAdopting reports whether volumes of a former cluster are being taken over.
func (v view) isAdopting() bool { return v.Spec.FormerVolumes != nil && v.Spec.FormerVolumes.Recorded }

// adoptVolumes takes over the volumes, one after the other, until there is a leader.
func adoptVolumes(v view) *Decision {
	former := v.Spec.FormerVolumes
	switch {
	case !v.isAdopting():
		return nil
	case len(former.Servers) == 0 && v.Raft.Known:
		return step(EndAdoption{}, reason.Bootstrapping, "all volumes of the former cluster are taken over")
	case len(former.Servers) == 0: // a backup may bring more
		return nil
	case v.isHeld():
		return v.leaveAlone()
	}
	return step(AdoptVolume{Server: former.Servers[0]}, reason.Bootstrapping, "taking over the volume of %s", former.Servers[0])
}
