package observe

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/volumes"
)

// VolumeUsages is a volumes.Watcher.
type VolumeUsages interface {
	Of(claim client.ObjectKey) (volumes.Known, bool)
}

// volumes fills in how large the volumes of servers are, and how full.
func (o *Observer) volumes(s *Snapshot) {
	if o.Volumes != nil {
		s.Volumes = map[string]volumes.Known{}
	}
	for i := range s.Servers {
		server := &s.Servers[i]
		claim := s.Claims[server.Name]
		requested, has := claim.Spec.Resources.Requests.Storage(), claim.Status.Capacity.Storage()
		server.Volume = plan.Volume{Requested: requested.Value(), Growing: has.Cmp(*requested) < 0}
		if o.Volumes == nil {
			continue
		}
		if known, is := o.Volumes.Of(client.ObjectKeyFromObject(claim)); is {
			s.Volumes[server.Name] = known
			server.Volume.Used, server.Volume.Capacity = known.Used, known.Capacity
		}
	}
}
