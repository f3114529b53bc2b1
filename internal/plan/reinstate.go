package plan

import "github.com/consul-operator/consul-operator/api/reason"

// reinstate keeps a server that was given up and serves again, unless enough others serve by now. A server that was added in its
// place and has no vote yet goes as surplus.
func reinstate(v view) *Decision {
	if len(filter(v.lasting(), v.serves)) >= v.Spec.Replicas {
		return nil
	}
	for _, s := range v.staying {
		if s.Failed && v.serves(s) {
			return step(UnmarkFailed{Server: s.Name}, reason.KeepingServer, "%s serves again: it is not replaced", s.Name)
		}
	}
	return nil
}
