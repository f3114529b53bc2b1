package observe

import (
	"cmp"
	"context"
	"sync"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// outlooks asks every server for its view of the cluster. It is called without a leader, and asks nothing if any server knows
// of one.
func (o *Observer) outlooks(ctx context.Context, s *Snapshot, selves map[string]answer) {
	for _, self := range selves {
		if self.LeaderAddr != "" {
			return
		}
	}
	names := nodeNames(s)
	var group sync.WaitGroup
	for i := range s.Servers {
		server := &s.Servers[i]
		if server.Agent.Answered {
			group.Go(func() {
				server.Agent.Outlook = o.outlook(ctx, s.Target(server.Name), selves[server.Name].Peers, names)
			})
		}
	}
	group.Wait()
}

// outlook is how one server sees the cluster; nil if its agent does not tell all of it.
func (o *Observer) outlook(
	ctx context.Context, target consul.Target, peers []plan.Peer, names map[string]string,
) *plan.Outlook {
	members, err := o.Dial(target).Members(ctx)
	if err != nil || peers == nil {
		return nil
	}
	outlook := &plan.Outlook{Members: members}
	for _, p := range peers {
		outlook.Peers = append(outlook.Peers, plan.Peer{ID: p.ID, Name: cmp.Or(names[p.ID], p.ID), Voter: p.Voter})
	}
	return outlook
}

// nodeNames returns the names of all servers that this cluster ever had, by node ID: Serf does not know the ones that are gone.
func nodeNames(s *Snapshot) map[string]string {
	names := map[string]string{}
	for serial := range s.Spec.NextSerial {
		name := resources.ServerName(s.Cluster.Name, serial)
		names[resources.NodeID(s.Cluster.UID, name)] = name
	}
	return names
}
