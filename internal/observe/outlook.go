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
		name, ours := names[p.ID]
		outlook.Peers = append(outlook.Peers, plan.Peer{ID: p.ID, Name: cmp.Or(name, p.ID), Voter: p.Voter, Ours: ours})
	}
	return outlook
}

// recentSerials is how many serials below the next one are looked for. Peers of older servers were pruned long ago.
const recentSerials = 300

// nodeNames returns the names of the servers that this cluster has or had, by node ID: Serf does not know the ones that are
// gone. The serial of the next server is what an annotation says, so not all serials below it are tried.
func nodeNames(s *Snapshot) map[string]string {
	names := map[string]string{}
	add := func(name string) { names[resources.NodeID(resources.Identity(s.Cluster), name)] = name }
	for _, server := range s.Servers {
		add(server.Name)
	}
	for _, server := range s.Cluster.Status.Servers {
		add(server.Name)
	}
	recorded, _ := recordedSerial(s)
	next := max(s.Spec.NextSerial, recorded)
	first, last := max(0, next-recentSerials), next
	if resources.Identity(s.Cluster) != s.Cluster.UID { // the volumes of its last servers may be lost
		last += recentSerials
	}
	for serial := first; serial < last; serial++ {
		add(resources.ServerName(s.Cluster.Name, serial))
	}
	return names
}
