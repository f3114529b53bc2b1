package consul

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
)

var _ Agent = (*agent)(nil)

// stale lets any server answer, with what it has.
var stale = &api.QueryOptions{AllowStale: true}

// checked is what is read of an answer, and checked before it is believed.
type checked interface{ check() error }

// query reads one answer. It uses none of package api's types, which an agent could fill without end.
func (a *agent) query(ctx context.Context, name, path string, options *api.QueryOptions, into checked) error {
	return a.call(ctx, name, readInto(path, options, into))
}

func readInto(path string, options *api.QueryOptions, into checked) func(*api.Client) error {
	return func(c *api.Client) error {
		if _, err := c.Raw().Query(path, into, options); err != nil {
			return err
		}
		return into.check()
	}
}

// Self reads GET /v1/agent/self: Config.{NodeID,NodeName,Version}, Meta,
// Stats.raft.{state,term,last_log_index,last_log_term,applied_index,latest_configuration} and Stats.consul.leader_addr. All of
// Stats are strings; the same in 1.19.2 and 1.22.7 (measured).
func (a *agent) Self(ctx context.Context) (Self, error) {
	var answer selfAnswer
	trip, err := a.ask(ctx, "agent self", readInto("/v1/agent/self", nil, &answer))
	if err != nil {
		return Self{}, err
	}
	self := answer.self()
	self.Certificate, self.UsesFormerToken = ptr.Deref(trip.presented.Load(), ""), trip.former.Load()
	return self, nil
}

// selfAnswer is what is read of agent/self.
type selfAnswer struct {
	Config struct{ NodeID, Version string }
	Meta   map[string]string
	Stats  struct {
		Raft struct { // absent if the agent is not a server
			State               string
			Term                string
			LastIndex           string `json:"last_log_index"`
			LastTerm            string `json:"last_log_term"`
			LatestConfiguration string `json:"latest_configuration"`
		}
		Consul struct {
			LeaderAddr string `json:"leader_addr"`
		}
	}
}

func (answer *selfAnswer) check() error {
	if answer.Config.NodeID == "" {
		return fmt.Errorf("%w: it has no node ID", errStrange)
	}
	return short(answer.Config.NodeID, answer.Config.Version, answer.Stats.Consul.LeaderAddr, answer.Meta[v1alpha1.NodeMetaSettings])
}

func (answer *selfAnswer) self() Self {
	number := func(text string) uint64 {
		n, _ := strconv.ParseUint(text, 10, 64)
		return n
	}
	raft := answer.Stats.Raft
	return Self{
		NodeID:     answer.Config.NodeID,
		Version:    answer.Config.Version,
		Settings:   answer.Meta[v1alpha1.NodeMetaSettings],
		Leads:      raft.State == "Leader",
		Term:       number(raft.Term),
		LastIndex:  number(raft.LastIndex),
		LastTerm:   number(raft.LastTerm),
		LeaderAddr: answer.Stats.Consul.LeaderAddr,
		Peers:      readConfiguration(raft.LatestConfiguration),
	}
}

// peerInStats matches one server of a configuration as Raft prints it, configurationInStats all of them.
var (
	peerInStats          = regexp.MustCompile(`\{Suffrage:(\w+) ID:(\S+) Address:([^\s}]+)\}`)
	configurationInStats = regexp.MustCompile(`^\[(` + peerInStats.String() + `( ` + peerInStats.String() + `)*)?\]$`)
)

// maxConfiguration is the length of a printed configuration of maxList servers.
const maxConfiguration = 100 * maxList

// readConfiguration parses a configuration that Raft printed: [{Suffrage:Voter ID:… Address:10.0.0.1:8300} {…}]. It returns
// nil for anything else, including part of one, which would be wrong.
func readConfiguration(printed string) []plan.Peer {
	if len(printed) > maxConfiguration || !configurationInStats.MatchString(printed) {
		return nil
	}
	peers := []plan.Peer{}
	for _, peer := range peerInStats.FindAllStringSubmatch(printed, -1) {
		if short(peer[2]) != nil {
			return nil
		}
		peers = append(peers, plan.Peer{ID: peer[2], Voter: peer[1] == "Voter"})
	}
	return peers
}

// unknownPeer is the name that Consul gives a Raft peer that is not in Serf.
const unknownPeer = "(unknown)"

// RaftPeers reads GET /v1/operator/raft/configuration?stale. It needs no leader, but a server that has heard of one since it
// started, and returns what this server has.
func (a *agent) RaftPeers(ctx context.Context) ([]plan.Peer, error) {
	var answer peersAnswer
	if err := a.query(ctx, "raft configuration", "/v1/operator/raft/configuration", stale, &answer); err != nil {
		return nil, err
	}
	var peers []plan.Peer
	for _, s := range answer.Servers {
		peers = append(peers, plan.Peer{ID: s.ID, Name: strings.TrimPrefix(s.Node, unknownPeer), Voter: s.Voter})
	}
	return peers, nil
}

// peersAnswer is what is read of a Raft configuration.
type peersAnswer struct {
	Servers list[struct {
		ID, Node string
		Voter    bool
	}]
}

func (answer *peersAnswer) check() error {
	for _, s := range answer.Servers {
		if err := short(s.ID, s.Node); err != nil {
			return err
		}
	}
	return nil
}

// serfStatus are the statuses as /v1/agent/members numbers them.
var serfStatus = map[int]plan.MemberStatus{
	1: plan.MemberAlive, 2: plan.MemberLeaving, 3: plan.MemberLeft, 4: plan.MemberFailed,
}

const pathMembers = "/v1/agent/members"

// Members reads GET /v1/agent/members. Servers have the tag role=consul, client agents role=node.
func (a *agent) Members(ctx context.Context) ([]plan.Member, error) {
	var answer membersAnswer
	if err := a.query(ctx, "agent members", pathMembers, nil, &answer); err != nil {
		return nil, err
	}
	return answer.servers, nil
}

// ClientAgents reads the same list: /v1/agent/members.
func (a *agent) ClientAgents(ctx context.Context) (ClientAgents, error) {
	var answer membersAnswer
	if err := a.query(ctx, "agent members", pathMembers, nil, &answer); err != nil {
		return ClientAgents{}, err
	}
	slices.Sort(answer.clients.Names)
	slices.Sort(answer.clients.Down)
	return answer.clients, nil
}

// membersAnswer is what is read of the members.
type membersAnswer struct {
	servers []plan.Member
	clients ClientAgents
}

func (answer *membersAnswer) UnmarshalJSON(data []byte) error {
	return each(data, func(m struct {
		Name   string
		Tags   map[string]string
		Status int
	}) error {
		member := plan.Member{ID: m.Tags["id"], Name: m.Name, Status: serfStatus[m.Status]}
		member.Version, _, _ = strings.Cut(m.Tags["build"], ":") // 1.22.7+ent:4e6e2f1d
		if m.Tags["role"] != "consul" {
			answer.clients.add(member)
			return nil
		}
		if len(answer.servers) == maxList {
			return fmt.Errorf("%w: it lists more than %d servers", errStrange, maxList)
		}
		answer.servers = append(answer.servers, member)
		return short(member.ID, member.Name, member.Version)
	})
}

// add takes note of a client agent. Names that are too many or too long are left out.
func (c *ClientAgents) add(m plan.Member) {
	alive, down := m.Status == plan.MemberAlive, m.Status == plan.MemberFailed
	if alive {
		c.Alive++
	}
	if (alive || down) && len(c.Names) < maxList && short(m.Name) == nil {
		c.Names = append(c.Names, m.Name)
	}
	if down && len(c.Down) < maxList && short(m.Name) == nil {
		c.Down = append(c.Down, m.Name)
	}
}

func (answer *membersAnswer) check() error { return nil }

// Catalog reads GET /v1/catalog/service/consul?stale: the service that the leader registers each server with when Serf
// sees it join, and deregisters when it has left. A server that has failed stays in it. A header says whether ACLs have filtered
// something, but not to those who have no token (measured, 1.19.2 and 1.22.7): an empty list proves nothing then.
func (a *agent) Catalog(ctx context.Context) ([]plan.Node, error) {
	var answer catalogAnswer
	var isFiltered bool
	if err := a.call(ctx, "catalog", func(c *api.Client) error {
		meta, err := c.Raw().Query("/v1/catalog/service/consul", &answer, stale)
		if err != nil {
			return err
		}
		isFiltered = meta.ResultsFilteredByACLs
		return answer.check()
	}); err != nil {
		return nil, err
	}
	var nodes []plan.Node
	for _, n := range answer.list {
		nodes = append(nodes, plan.Node{ID: n.ID, Name: n.Node})
	}
	if isFiltered || a.target.Token == "" && len(nodes) == 0 {
		return nodes, fmt.Errorf("catalog on %s: %w", a.target.Address, ErrFiltered)
	}
	return nodes, nil
}

// catalogAnswer is what is read of the catalog.
type catalogAnswer struct {
	list[struct{ ID, Node string }]
}

func (answer *catalogAnswer) check() error {
	for _, n := range answer.list {
		if err := short(n.ID, n.Node); err != nil {
			return err
		}
	}
	return nil
}

const pathHealth = "/v1/operator/autopilot/health"

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
			if err := short(s.ID); err != nil {
				return err
			}
			health[s.ID] = plan.HealthUnhealthy
			if s.Healthy {
				health[s.ID] = plan.HealthHealthy
			}
		}
		return nil
	})
	return health, err
}

// LeaderAddr reads GET /v1/status/leader.
func (a *agent) LeaderAddr(ctx context.Context) (string, error) {
	var answer addrAnswer
	err := a.query(ctx, "leader", "/v1/status/leader", nil, &answer)
	return string(answer), err
}

type addrAnswer string

func (answer *addrAnswer) check() error { return short(string(*answer)) }

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

// Reload is PUT /v1/agent/reload. The agent answers when it has read everything.
func (a *agent) Reload(ctx context.Context) error {
	err := a.call(ctx, "reload", func(c *api.Client) error { return c.Agent().Reload() })
	if a.target.TLS != nil {
		a.target.TLS.CloseIdleConnections() // they show the former certificate
	}
	return err
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

// Deregister is PUT /v1/catalog/deregister.
func (a *agent) Deregister(ctx context.Context, node string) error {
	return a.call(ctx, "deregistration of "+node, func(c *api.Client) error {
		_, err := c.Catalog().Deregister(&api.CatalogDeregistration{Node: node}, nil)
		return err
	})
}

// RemovePeer is DELETE /v1/operator/raft/peer?id=.
func (a *agent) RemovePeer(ctx context.Context, id string) error {
	return a.call(ctx, "removal of peer "+id, func(c *api.Client) error {
		return c.Operator().RaftRemovePeerByID(id, nil)
	})
}
