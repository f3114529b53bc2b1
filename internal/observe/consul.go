package observe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// consul asks every agent about itself, all at once, and then the leader's agent about the cluster. A hung agent
// costs one timeout.
func (o *Observer) consul(ctx context.Context, s *Snapshot) {
	selves := o.selves(ctx, s)
	leader := ""
	for i := range s.Servers {
		server := &s.Servers[i]
		self, asked := selves[server.Name]
		if server.Agent = agentFacts(self, server.ID); !asked {
			server.Agent = plan.Agent{}
		}
		if !server.Agent.Answered {
			delete(selves, server.Name)
			continue
		}
		// An old leader that does not know that it was deposed has a lower term.
		if self.Leads && (leader == "" || self.Term > selves[leader].Term) {
			leader = server.Name
		}
	}
	if leader == "" {
		leader = o.muteLeader(ctx, s, selves)
	}
	if leader == "" {
		s.Raft.Unknown = unknown(s.Servers)
		o.outlooks(ctx, s, selves)
		return
	}
	if err := o.cluster(ctx, s, leader); err != nil {
		if s.refusesToken(leader, err) {
			s.Spec.ACLs.RefusedBy = leader
		}
		s.Raft = plan.Raft{Unknown: leader + " leads but did not report the state of the cluster: " + err.Error()}
		return
	}
	s.Raft.Known, s.Raft.Leader, s.Raft.Term = true, leader, selves[leader].Term
}

// muteLeader returns the name of a leader that does not answer for itself, but says that it leads, as those say who know the
// highest term: where it cannot commit anything, its agent may have no answer to the one question, and to all others it has.
func (o *Observer) muteLeader(ctx context.Context, s *Snapshot, selves map[string]answer) string {
	var told answer
	for _, self := range selves {
		if self.LeaderAddr != "" && self.Term > told.Term {
			told = self
		}
	}
	ip, _, err := net.SplitHostPort(told.LeaderAddr)
	if err != nil {
		return ""
	}
	for _, server := range s.Servers {
		if server.Agent.Silence != plan.SilenceUnanswered || server.Pod.Address != ip {
			continue
		}
		if itself, err := o.Dial(s.Target(server.Name)).LeaderAddr(ctx); err != nil || itself != told.LeaderAddr {
			continue
		}
		selves[server.Name] = answer{Self: consul.Self{Term: told.Term}}
		return server.Name
	}
	return ""
}

// answer is what came of asking an agent about itself.
type answer struct {
	consul.Self
	err error
}

// agentFacts says what an answer means. One with another node ID is of another process, which has got the address by now.
func agentFacts(a answer, id string) plan.Agent {
	switch {
	case a.err != nil:
		return plan.Agent{Silence: silence(a.err)}
	case a.NodeID != id:
		return plan.Agent{Silence: plan.SilenceStranger}
	}
	return plan.Agent{
		Answered: true, KnowsLeader: a.LeaderAddr != "", Version: a.Version, ReadsOnlyOldLogs: readsOnlyOldLogs(a.Version),
		Settings: a.Settings, Certificate: a.Certificate, UsesFormerToken: a.UsesFormerToken,
		LastIndex: a.LastIndex, LastTerm: a.LastTerm,
	}
}

func silence(err error) plan.Silence {
	switch {
	case errors.Is(err, consul.ErrForbidden):
		return plan.SilenceForbidden
	case errors.Is(err, syscall.ECONNREFUSED):
		return plan.SilenceRefused
	case errors.Is(err, consul.ErrUntrusted):
		return plan.SilenceUntrusted
	case errors.Is(err, consul.ErrUnreachable):
		return plan.SilenceNoRoute
	case errors.Is(err, consul.ErrUnanswered):
		return plan.SilenceUnanswered
	}
	return plan.SilenceStrange
}

// selves returns what came of asking each agent that has an address and a process, by the server's name.
func (o *Observer) selves(ctx context.Context, s *Snapshot) map[string]answer {
	var (
		group  sync.WaitGroup
		mutex  sync.Mutex
		selves = map[string]answer{}
	)
	for _, server := range s.Servers {
		target := s.Target(server.Name)
		if target.Address == "" || !server.Pod.Running {
			continue
		}
		group.Go(func() {
			self, err := o.Dial(target).Self(ctx)
			mutex.Lock()
			defer mutex.Unlock()
			selves[server.Name] = answer{self, err}
		})
	}
	group.Wait()
	return selves
}

// cluster asks the leader's own agent for the Raft configuration, Serf's members, autopilot's verdict and settings, which are all
// required, and for the catalog, which is for display only: an upgrade does not wait for it.
func (o *Observer) cluster(ctx context.Context, s *Snapshot, leader string) error {
	agent := o.Dial(s.Target(leader))
	var health map[string]plan.Health
	if err := atOnce(
		func() (err error) { s.Raft.Peers, err = agent.RaftPeers(ctx); return err },
		func() (err error) { s.Raft.Members, err = agent.Members(ctx); return err },
		func() error { lookUpCatalog(ctx, &s.Raft, agent); return nil },
		func() (err error) { health, err = agent.Health(ctx); return err },
		func() (err error) { s.Raft.Autopilot, err = agent.Autopilot(ctx); return err },
	); err != nil {
		return err
	}
	if err := tellsOfItself(s, leader); err != nil {
		return err
	}
	if s.couldCutOff() {
		s.Raft.Gossip = gossipMembers(ctx, s, agent)
	}
	s.Raft.MinQuorum, _ = strconv.Atoi(s.Raft.Autopilot[consul.SettingMinQuorum]) // the client made it of a number
	for i := range s.Servers {
		match(&s.Servers[i], s.Raft, health)
	}
	return nil
}

// couldCutOff reports whether something lies ahead that could cut client agents off.
func (s *Snapshot) couldCutOff() bool {
	gossip, tls := s.Spec.Gossip, s.Spec.TLS
	return gossip.Phase != gossip.Target || s.rotatesKey || tls.Phase != tls.Target ||
		tls.Authority.Stage == plan.AuthorityComing || tls.Authority.Stage == plan.AuthorityGoing
}

// tellsOfItself fails if a leader leaves itself out of what it tells: ACLs filter answers, and what is filtered is unknown and
// not absent (https://developer.hashicorp.com/consul/api-docs/agent#list-members).
func tellsOfItself(s *Snapshot, leader string) error {
	id := resources.NodeID(resources.Identity(s.Cluster), leader)
	isPeer := slices.ContainsFunc(s.Raft.Peers, func(p plan.Peer) bool { return p.ID == id })
	isMember := slices.ContainsFunc(s.Raft.Members, func(m plan.Member) bool { return m.ID == id })
	if !isPeer || !isMember {
		return errFiltered
	}
	return nil
}

// lookUpCatalog asks for the catalog. That it was not told is no error.
func lookUpCatalog(ctx context.Context, raft *plan.Raft, agent consul.Agent) {
	var err error
	raft.Catalog, err = agent.Catalog(ctx)
	raft.CatalogTold = err == nil
	raft.CatalogUnanswered = err != nil && !errors.Is(err, consul.ErrFiltered)
}

// match finds a server by its id in Raft, in Serf, in the catalog and in autopilot's verdicts.
func match(server *plan.Server, raft plan.Raft, health map[string]plan.Health) {
	if i := slices.IndexFunc(raft.Peers, func(p plan.Peer) bool { return p.ID == server.ID }); i >= 0 {
		peer := raft.Peers[i]
		peer.Name = server.Name
		server.Peer = &peer
	}
	if i := slices.IndexFunc(raft.Members, func(m plan.Member) bool { return m.ID == server.ID }); i >= 0 {
		server.Member = raft.Members[i].Status
		if server.Agent.Silence == plan.SilenceUnanswered {
			server.Agent.Version = raft.Members[i].Version
			server.Agent.ReadsOnlyOldLogs = readsOnlyOldLogs(server.Agent.Version)
		}
	}
	server.Registration = plan.NotRegistered
	if slices.ContainsFunc(raft.Catalog, func(n plan.Node) bool { return n.ID == server.ID }) {
		server.Registration = plan.Registered
	}
	server.Health = health[server.ID]
}

// atOnce runs all calls concurrently and returns the first error in their order.
func atOnce(calls ...func() error) error {
	errs := make([]error, len(calls))
	var group sync.WaitGroup
	for i, call := range calls {
		group.Go(func() { errs[i] = call() })
	}
	group.Wait()
	return cmp.Or(errs...)
}

// readsAllLogs is the first version of Consul that reads both formats of the Raft log.
var readsAllLogs = version.MustParseSemantic("1.20.2")

// readsOnlyOldLogs is for plan.Agent. An unknown version is a new one; of a build of somebody's own, such as 1.20.0dev, the
// number counts.
func readsOnlyOldLogs(of string) bool {
	running, err := version.ParseGeneric(of)
	return err == nil && running.LessThan(readsAllLogs)
}
