package timed

import (
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// Self is what the agent of the server in a slot says about itself.
func (c *Cluster) Self(slot int) consul.Self {
	self := consul.Self{
		NodeID: c.Servers[slot].ID, Version: c.Servers[slot].Version,
		Settings: c.Servers[slot].Settings, Term: c.Term, LastIndex: 100, LastTerm: c.Term,
		Leads: int(c.State.Leader) == slot, Certificate: c.Servers[slot].Certified.fingerprint(),
		Peers: c.Peers(),
	}
	if c.State.Servers[slot].Behind {
		self.LastIndex = 50
	}
	if c.State.Leader != sim.Nobody {
		self.LeaderAddr = c.Servers[c.State.Leader].IP + ":8300"
	}
	return self
}

// Peers are the Raft configuration, which is the same for all.
func (c *Cluster) Peers() []plan.Peer {
	peers := []plan.Peer{}
	for i := range c.Servers[:c.State.N] {
		if x := c.State.Servers[i]; x.Peer != sim.NoPeer {
			peers = append(peers, plan.Peer{ID: c.Servers[i].ID, Name: c.Servers[i].Name, Voter: x.Peer == sim.Voter})
		}
	}
	return peers
}

var serfStatus = map[sim.Serf]plan.MemberStatus{
	sim.Alive: plan.MemberAlive, sim.LeavingSerf: plan.MemberLeaving, sim.Left: plan.MemberLeft,
	sim.Failed: plan.MemberFailed,
}

// Members are those of Serf, as all see them.
func (c *Cluster) Members() (members []plan.Member) {
	for i := range c.Servers[:c.State.N] {
		if status, known := serfStatus[c.State.Servers[i].Serf]; known {
			members = append(members, plan.Member{
				ID: c.Servers[i].ID, Name: c.Servers[i].Name, Status: status, Version: c.Servers[i].Version,
			})
		}
	}
	return members
}

// Catalog has the servers that are in Serf, and none that has left. That the leader takes a moment for both is left out.
func (c *Cluster) Catalog() (nodes []plan.Node) {
	for i := range c.Servers[:c.State.N] {
		if serf := c.State.Servers[i].Serf; serf != sim.Absent && serf != sim.Left {
			nodes = append(nodes, plan.Node{ID: c.Servers[i].ID, Name: c.Servers[i].Name})
		}
	}
	return nodes
}

// CatalogIndex differs when the servers in the catalog do.
func (c *Cluster) CatalogIndex() uint64 {
	index := uint64(1)
	for i := range c.Servers[:c.State.N] {
		index = index*7 + uint64(c.State.Servers[i].Serf)
	}
	return index
}

// Health is what autopilot says of each peer, by node ID.
func (c *Cluster) Health() map[string]plan.Health {
	health := map[string]plan.Health{}
	for i := range c.Servers[:c.State.N] {
		switch x := c.State.Servers[i]; {
		case x.Peer == sim.NoPeer:
		case x.Healthy:
			health[c.Servers[i].ID] = plan.HealthHealthy
		default:
			health[c.Servers[i].ID] = plan.HealthUnhealthy
		}
	}
	return health
}
