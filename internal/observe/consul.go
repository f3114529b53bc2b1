package observe

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func httpAddress(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(resources.PortHTTP)) }

// consul asks every agent about itself, all at once, and then the leader's agent about the cluster. A hung agent costs one
// timeout.
func (o *Observer) consul(ctx context.Context, s *Snapshot) {
	selves := o.selves(ctx, s)
	leader := ""
	for i := range s.Servers {
		server := &s.Servers[i]
		self, answered := selves[server.Name]
		if !answered {
			continue
		}
		server.Agent = plan.Agent{
			Answered: true, Version: self.Version, LastIndex: self.LastIndex, LastTerm: self.LastTerm,
		}
		// An old leader that does not know that it was deposed has a lower term.
		if self.State == consul.Leader && (leader == "" || self.Term > selves[leader].Term) {
			leader = server.Name
		}
	}
	if leader == "" {
		s.Raft.Unknown = unknown(s.Servers, selves)
		o.outlooks(ctx, s, selves)
		return
	}
	if err := o.cluster(ctx, s, leader); err != nil {
		s.Raft = plan.Raft{Unknown: leader + " leads but did not report the state of the cluster: " + err.Error()}
		return
	}
	s.Raft.Known, s.Raft.Leader, s.Raft.Term = true, leader, selves[leader].Term
	s.Raft.LeaderSince = o.Now()
	last := s.Cluster.Status
	if last.Leader != leader || uint64(last.Term) != s.Raft.Term || last.LeaderSince == nil {
		return
	}
	s.Raft.LeaderSince = last.LeaderSince.Time
	for i := range s.Servers {
		rememberHealth(&s.Servers[i], last)
	}
}

// rememberHealth restores the time since which this leader considers a server unhealthy from the last status. Autopilot has a
// field for it, but that is when it first heard of the server (stable_since, 1.19.2 to 1.22.7).
func rememberHealth(server *plan.Server, last v1alpha1.ConsulClusterStatus) {
	i := slices.IndexFunc(last.Servers, func(s v1alpha1.ServerStatus) bool { return s.Name == server.Name })
	if server.Health == plan.HealthUnhealthy && i >= 0 && last.Servers[i].UnhealthySince != nil {
		server.UnhealthySince = last.Servers[i].UnhealthySince.Time
	}
}

// selves returns the answers of all agents with the expected node ID, by the server's name.
func (o *Observer) selves(ctx context.Context, s *Snapshot) map[string]consul.Self {
	var (
		group  sync.WaitGroup
		mutex  sync.Mutex
		selves = map[string]consul.Self{}
	)
	for _, server := range s.Servers {
		address := s.Address(server.Name)
		if address == "" || !server.Pod.Running {
			continue
		}
		group.Go(func() {
			agent, err := o.Dial(address)
			if err != nil {
				return
			}
			self, err := agent.Self(ctx)
			if err != nil || self.NodeID != server.ID {
				return // no answer, or the address belongs to another process by now
			}
			mutex.Lock()
			defer mutex.Unlock()
			selves[server.Name] = self
		})
	}
	group.Wait()
	return selves
}

// cluster asks the leader's own agent for the Raft configuration, Serf's members and autopilot's verdict, which are all
// required, and for the catalog, which is for display only: an upgrade does not wait for it.
func (o *Observer) cluster(ctx context.Context, s *Snapshot, leader string) error {
	agent, err := o.Dial(s.Address(leader))
	if err != nil {
		return err
	}
	var (
		peers     []consul.Peer
		members   []consul.Member
		catalog   []consul.Node
		health    consul.Health
		minQuorum uint
	)
	if err := atOnce(
		func() (err error) { peers, err = agent.RaftPeers(ctx); return err },
		func() (err error) { members, err = agent.Members(ctx); return err },
		func() error { catalog, s.NoCatalog = agent.Catalog(ctx); return nil },
		func() (err error) { health, err = agent.Health(ctx); return err },
		func() (err error) { minQuorum, err = agent.MinQuorum(ctx); return err },
	); err != nil {
		return err
	}
	s.Raft.MinQuorum = int(minQuorum) //nolint:gosec // a handful of servers
	for _, p := range peers {
		s.Raft.Peers = append(s.Raft.Peers, plan.Peer{ID: p.ID, Name: p.Name, Voter: p.Voter})
	}
	for _, m := range members {
		s.Raft.Members = append(s.Raft.Members, plan.Member{ID: m.ID, Name: m.Name, Status: plan.MemberStatus(m.Status)})
	}
	for _, n := range catalog {
		s.Raft.Catalog = append(s.Raft.Catalog, plan.Node{ID: n.ID, Name: n.Name})
	}
	for i := range s.Servers {
		join(&s.Servers[i], s.Raft, health)
		if s.Servers[i].Health == plan.HealthUnhealthy {
			s.Servers[i].UnhealthySince = o.Now()
		}
	}
	return nil
}

// join fills in what Raft, Serf, the catalog and autopilot say about a server, matched by its ID.
func join(server *plan.Server, raft plan.Raft, health consul.Health) {
	if i := slices.IndexFunc(raft.Peers, func(p plan.Peer) bool { return p.ID == server.ID }); i >= 0 {
		peer := raft.Peers[i]
		peer.Name = server.Name
		server.Peer = &peer
	}
	if i := slices.IndexFunc(raft.Members, func(m plan.Member) bool { return m.ID == server.ID }); i >= 0 {
		server.Member = raft.Members[i].Status
	}
	server.Registered = slices.ContainsFunc(raft.Catalog, func(n plan.Node) bool { return n.ID == server.ID })
	i := slices.IndexFunc(health.Servers, func(h consul.ServerHealth) bool { return h.ID == server.ID })
	switch {
	case i < 0:
		server.Health = plan.HealthUnknown
	case health.Servers[i].Healthy:
		server.Health = plan.HealthHealthy
	default:
		server.Health = plan.HealthUnhealthy
	}
}

// atOnce runs all calls concurrently and returns the first error in their order.
func atOnce(calls ...func() error) error {
	errs := make([]error, len(calls))
	var group sync.WaitGroup
	for i, call := range calls {
		group.Go(func() { errs[i] = call() })
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
