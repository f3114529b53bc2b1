package observe

import (
	"fmt"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// readSerial fills in the serial of the next server, and says how to repair its record if that is damaged; nil if it is not.
// Without it no server can be created, and everything else can go on. A record that is absent was not written yet, or was
// taken away: no serial that is known to be in use is given to another server.
func readSerial(s *Snapshot) *plan.Problem {
	useSerials(s)
	free := s.Spec.NextSerial
	next, err := recordedSerial(s)
	s.Spec.NextSerial = max(free, next)
	switch {
	case free >= resources.Serials:
		return &plan.Problem{Reason: reason.DamagedRecord, Message: fmt.Sprintf(
			"%s has the last of all serials: create another ConsulCluster, with spec.bootstrap.fromSnapshot",
			resources.ServerName(s.Cluster.Name, free-1))}
	case err != nil:
		return damaged(v1alpha1.AnnotationNextSerial, err, fmt.Sprintf(
			"set it to a number above that of every server that this cluster ever had: kubectl annotate consulcluster %s "+
				"--overwrite %s=%d, or a higher number", s.Spec.Object, v1alpha1.AnnotationNextSerial, free))
	}
	return nil
}

// recordedSerial is the serial of the next server as it was written down; 0 if it was not.
func recordedSerial(s *Snapshot) (int, error) {
	if s.Copied {
		return 0, nil
	}
	return natural(s.Cluster, v1alpha1.AnnotationNextSerial)
}

// useSerials passes over the serials of all servers that the status, Raft, Serf or a server knows. Claims and pods were
// counted when they were read.
func useSerials(s *Snapshot) {
	for _, server := range s.Cluster.Status.Servers {
		useSerialOf(s, server.ID, server.Name)
	}
	lists := []plan.Outlook{{Peers: s.Raft.Peers, Members: s.Raft.Members}}
	for _, server := range s.Servers {
		if server.Agent.Outlook != nil {
			lists = append(lists, *server.Agent.Outlook)
		}
	}
	for _, list := range lists {
		for _, peer := range list.Peers {
			useSerialOf(s, peer.ID, peer.Name)
		}
		for _, member := range list.Members {
			useSerialOf(s, member.ID, member.Name)
		}
	}
}

// useSerialOf believes in a name only if the id is that of a server of this cluster with that name.
func useSerialOf(s *Snapshot, id, name string) {
	if id == resources.NodeID(resources.Identity(s.Cluster), name) {
		useSerial(s, name)
	}
}

func useSerial(s *Snapshot, name string) {
	if serial, ok := resources.Serial(s.Cluster.Name, name); ok {
		s.Spec.NextSerial = max(s.Spec.NextSerial, serial+1)
	}
}
