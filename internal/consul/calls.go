package consul

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/internal/plan"
)

var _ Agent = (*agent)(nil)

// Self reads GET /v1/agent/self: Config.{NodeID,NodeName,Version},
// Stats.raft.{state,term,last_log_index,last_log_term,applied_index,latest_configuration} and Stats.consul.leader_addr. All of
// Stats are strings; the same in 1.19.2 and 1.22.7 (measured).
func (a *agent) Self(ctx context.Context) (Self, error) {
	var self Self
	err := a.call(ctx, "agent self", func(c *api.Client) error {
		out, err := c.Agent().Self()
		if err != nil {
			return err
		}
		self, err = readSelf(out)
		return err
	})
	return self, err
}

func readSelf(out map[string]map[string]any) (Self, error) {
	text := func(in map[string]any, key string) string {
		s, _ := in[key].(string)
		return s
	}
	raft, _ := out["Stats"]["raft"].(map[string]any)
	server, _ := out["Stats"]["consul"].(map[string]any)
	number := func(key string) uint64 { // absent if the agent is not a server
		n, _ := strconv.ParseUint(text(raft, key), 10, 64)
		return n
	}
	self := Self{
		NodeID:     text(out["Config"], "NodeID"),
		Version:    text(out["Config"], "Version"),
		Leads:      text(raft, "state") == "Leader",
		Term:       number("term"),
		LastIndex:  number("last_log_index"),
		LastTerm:   number("last_log_term"),
		LeaderAddr: text(server, "leader_addr"),
	}
	if self.NodeID == "" {
		return Self{}, fmt.Errorf("%w: it has no node ID", errStrange)
	}
	self.Peers = readConfiguration(text(raft, "latest_configuration"))
	return self, nil
}

// peerInStats matches one server of a configuration as Raft prints it, configurationInStats all of them.
var (
	peerInStats          = regexp.MustCompile(`\{Suffrage:(\w+) ID:(\S+) Address:([^\s}]+)\}`)
	configurationInStats = regexp.MustCompile(`^\[(` + peerInStats.String() + `( ` + peerInStats.String() + `)*)?\]$`)
)

// readConfiguration parses a configuration that Raft printed: [{Suffrage:Voter ID:… Address:10.0.0.1:8300} {…}]. It returns nil
// for anything else, including part of one, which would be wrong.
func readConfiguration(printed string) []plan.Peer {
	if !configurationInStats.MatchString(printed) {
		return nil
	}
	peers := []plan.Peer{}
	for _, peer := range peerInStats.FindAllStringSubmatch(printed, -1) {
		peers = append(peers, plan.Peer{ID: peer[2], Voter: peer[1] == "Voter"})
	}
	return peers
}

// unknownPeer is the name that Consul gives a Raft peer that is not in Serf.
const unknownPeer = "(unknown)"

// RaftPeers reads GET /v1/operator/raft/configuration?stale. It needs no leader, but a server that has heard of one since it
// started, and returns what this server has.
func (a *agent) RaftPeers(ctx context.Context) ([]plan.Peer, error) {
	var peers []plan.Peer
	err := a.call(ctx, "raft configuration", func(c *api.Client) error {
		out, err := c.Operator().RaftGetConfiguration(&api.QueryOptions{AllowStale: true})
		if err != nil {
			return err
		}
		for _, s := range out.Servers {
			peers = append(peers, plan.Peer{ID: s.ID, Name: strings.TrimPrefix(s.Node, unknownPeer), Voter: s.Voter})
		}
		return nil
	})
	return peers, err
}

// serfStatus are the statuses as /v1/agent/members numbers them.
var serfStatus = map[int]plan.MemberStatus{
	1: plan.MemberAlive, 2: plan.MemberLeaving, 3: plan.MemberLeft, 4: plan.MemberFailed,
}

// Members reads GET /v1/agent/members. Servers have the tag role=consul, client agents role=node.
func (a *agent) Members(ctx context.Context) ([]plan.Member, error) {
	var members []plan.Member
	err := a.call(ctx, "agent members", func(c *api.Client) error {
		out, err := c.Agent().MembersOpts(api.MembersOpts{})
		if err != nil {
			return err
		}
		for _, m := range out {
			if m.Tags["role"] != "consul" {
				continue
			}
			members = append(members, plan.Member{ID: m.Tags["id"], Name: m.Name, Status: serfStatus[m.Status]})
		}
		return nil
	})
	return members, err
}

// Catalog reads GET /v1/catalog/service/consul?stale: the service that the leader registers each server with when Serf
// sees it join, and deregisters when it has left. A server that has failed stays in it.
func (a *agent) Catalog(ctx context.Context) ([]plan.Node, error) {
	var nodes []plan.Node
	err := a.call(ctx, "catalog", func(c *api.Client) error {
		out, _, err := c.Catalog().Service("consul", "", &api.QueryOptions{AllowStale: true})
		if err != nil {
			return err
		}
		for _, n := range out {
			nodes = append(nodes, plan.Node{ID: n.ID, Name: n.Node})
		}
		return nil
	})
	return nodes, err
}

// Health reads GET /v1/operator/autopilot/health. If a server is unhealthy, the answer has status 429 and the same body
// (measured), which is not an error.
func (a *agent) Health(ctx context.Context) (map[string]plan.Health, error) {
	health := map[string]plan.Health{}
	err := a.call(ctx, "autopilot health", func(c *api.Client) error {
		out, err := c.Operator().AutopilotServerHealth(nil)
		if err != nil {
			return err
		}
		for _, s := range out.Servers {
			health[s.ID] = plan.HealthUnhealthy
			if s.Healthy {
				health[s.ID] = plan.HealthHealthy
			}
		}
		return nil
	})
	return health, err
}

func (a *agent) MinQuorum(ctx context.Context) (uint, error) {
	conf, err := a.autopilot(ctx)
	if err != nil {
		return 0, err
	}
	return conf.MinQuorum, nil
}

func (a *agent) autopilot(ctx context.Context) (conf *api.AutopilotConfiguration, err error) {
	err = a.call(ctx, "autopilot configuration", func(c *api.Client) error {
		conf, err = c.Operator().AutopilotGetConfiguration(nil)
		return err
	})
	return conf, err
}

// casAttempts limits how often SetMinQuorum retries after a concurrent change.
const casAttempts = 3

func (a *agent) SetMinQuorum(ctx context.Context, n uint) error {
	for range casAttempts {
		conf, err := a.autopilot(ctx)
		if err != nil || conf.MinQuorum == n {
			return err
		}
		conf.MinQuorum = n
		var done bool
		err = a.call(ctx, "autopilot configuration", func(c *api.Client) error {
			done, err = c.Operator().AutopilotCASConfiguration(conf, nil)
			return err
		})
		if err != nil || done {
			return err
		}
	}
	return fmt.Errorf("autopilot configuration on %s: %w", a.target.Address, ErrConflict)
}

// TransferLeadership is POST /v1/operator/raft/transfer-leader?id=, measured to take 5 to 17 ms.
func (a *agent) TransferLeadership(ctx context.Context, id string) error {
	if id == "" { // Raft would pick the peer with the highest next index, healthy or not, old or new
		return errors.New("leadership transfer needs the ID of a server")
	}
	return a.call(ctx, "leadership transfer", func(c *api.Client) error {
		out, err := c.Operator().RaftLeaderTransfer(id, nil)
		if err == nil && !out.Success {
			err = errors.New("the leader did not step down")
		}
		return err
	})
}

func (a *agent) Leave(ctx context.Context) error {
	return a.call(ctx, "leave", func(c *api.Client) error { return c.Agent().Leave() })
}

// ForceLeave is PUT /v1/agent/force-leave/<node>, without ?prune. With ?prune and a member that has just come back and is alive,
// the leader's agent does not answer for 8 s, and the member is then lost to Serf and Raft until it restarts; and a failed
// member is added back a minute after its return instead of at once (measured).
func (a *agent) ForceLeave(ctx context.Context, node string) error {
	return a.call(ctx, "force-leave of "+node, func(c *api.Client) error { return c.Agent().ForceLeave(node) })
}

// RemovePeer is DELETE /v1/operator/raft/peer?id=.
func (a *agent) RemovePeer(ctx context.Context, id string) error {
	return a.call(ctx, "removal of peer "+id, func(c *api.Client) error {
		return c.Operator().RaftRemovePeerByID(id, nil)
	})
}

// WatchServers is GET /v1/health/service/consul?index=&wait=. The index is that of this service: writes to the KV store and
// other services do not change it. Call it on the leader's agent, where the catalog is never behind.
func (a *agent) WatchServers(ctx context.Context, index uint64, wait time.Duration) (uint64, error) {
	var next uint64
	limit := a.timeout
	if index > 0 { // Consul adds up to wait/16, so that queries do not all end at once
		limit += wait + wait/16
	}
	err := a.callWithin(ctx, limit, "watch of the servers", func(c *api.Client) error {
		_, meta, err := c.Health().Service("consul", "", false, &api.QueryOptions{WaitIndex: index, WaitTime: wait})
		if err != nil {
			return err
		}
		next = meta.LastIndex
		return nil
	})
	return next, err
}
