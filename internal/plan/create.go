package plan

import "github.com/consul-operator/consul-operator/api/reason"

// create adds a server when fewer servers than wanted are current, or will be, within the surge. A server that was given up
// does not count: it may stay for long, and its place is needed now.
func create(v view) *Decision {
	failed := filter(v.Servers, hasFailed)
	if len(v.lasting()) >= v.Spec.Replicas || len(v.Servers)-len(failed) >= v.Spec.Replicas+v.Spec.MaxSurge {
		return nil
	}
	if len(failed) > 0 {
		return step(CreateServer{Serial: v.Spec.NextSerial}, reason.ReplacingFailedServer,
			"adding a server in the place of %s, which has failed", failed[0].Name)
	}
	if drained := v.drained(); len(drained) > 0 {
		return step(CreateServer{Serial: v.Spec.NextSerial}, reason.NodeDraining,
			"adding a server in the place of %s, whose node is drained", drained[0].Name)
	}
	return step(CreateServer{Serial: v.Spec.NextSerial}, reason.CreatingServer,
		"adding a server: %d of %d have the wanted revision", len(v.current()), v.Spec.Replicas)
}
