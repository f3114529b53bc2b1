package plan

import "github.com/consul-operator/consul-operator/api/reason"

// beginRestore makes way for a snapshot that is to be restored. A server that retires goes first, and a rotation of the ACL
// tokens that has begun is ended: the tokens of the snapshot take the place of those in Consul. An update waits between two
// servers: data that is damaged may be what it is stuck at.
func beginRestore(v view) *Decision {
	r := v.Spec.Restore
	if r == nil || r.Recorded || v.Spec.ACLs.Rotation.begun() {
		return nil
	}
	return step(BeginRestore{Name: r.Name, UID: r.UID}, reason.Restoring, "ConsulRestore %s begins", r.Name)
}
