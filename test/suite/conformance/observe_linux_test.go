package conformance

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/child"
)

// view is what one agent says of all servers, by node id.
type view struct {
	peers   map[string]plan.Peer
	members map[string]plan.Member
	healthy map[string]bool
	// sessions are their ids.
	sessions map[string]bool
}

// facts asks all agents who leads, and the leader, or anybody if nobody leads, about the servers. It fails while an
// agent does not answer, which is so while it starts and in the moment before it ends.
func (c *cluster) facts() (facts, error) {
	selves := map[*server]consul.Self{}
	for _, s := range c.servers {
		if !s.Runs() || s.frozen {
			continue
		}
		self, err := s.Self(c.t.Context())
		if err != nil {
			return facts{}, err
		}
		selves[s] = self
	}
	leader := whoLeads(selves)
	f := facts{Leads: c.called(leader, selves), Servers: map[string][]string{}}
	v, err := c.ask(leader, selves)
	if err != nil {
		return facts{}, err
	}
	for i, s := range c.servers {
		peer, isPeer := v.peers[s.id]
		f.Servers[c.names[i]] = about(
			lives(s.Process), suffrage(peer, isPeer), serf(v.members, s.id), leader != nil, v.healthy[s.id])
		if v.sessions[s.session] {
			f.Servers[c.names[i]] = append(f.Servers[c.names[i]], session)
		}
	}
	return f, nil
}

// whoLeads is the one that says so: in the highest term, since one that was cut off may not know better.
func whoLeads(selves map[*server]consul.Self) *server {
	var leader *server
	for s, self := range selves {
		if self.Leads && (leader == nil || self.Term > selves[leader].Term) {
			leader = s
		}
	}
	return leader
}

// called is how the facts call the leader. There are several if somebody follows another one.
func (c *cluster) called(leader *server, selves map[*server]consul.Self) string {
	if leader == nil {
		return nobody
	}
	for _, self := range selves {
		if self.LeaderAddr != "" && self.LeaderAddr != leader.rpc() {
			return several
		}
	}
	return c.name(leader)
}

func (c *cluster) ask(leader *server, selves map[*server]consul.Self) (view, error) {
	if len(selves) == 0 {
		return view{}, nil
	}
	v := view{peers: map[string]plan.Peer{}, members: map[string]plan.Member{}, healthy: map[string]bool{}}
	asked := leader
	if asked == nil {
		asked = slices.Collect(maps.Keys(selves))[0]
	}
	peers, err := asked.RaftPeers(c.t.Context())
	if err != nil {
		return view{}, err
	}
	for _, peer := range peers {
		v.peers[peer.ID] = peer
	}
	members, err := asked.Members(c.t.Context())
	if err != nil {
		return view{}, err
	}
	for _, member := range members {
		v.members[member.ID] = member
	}
	if leader == nil {
		return v, nil
	}
	health, err := leader.Health(c.t.Context())
	if err != nil {
		return view{}, err
	}
	for id, verdict := range health {
		v.healthy[id] = verdict == plan.HealthHealthy
	}
	sessions, _, err := c.client(leader).Session().List(&api.QueryOptions{RequireConsistent: true})
	v.sessions = map[string]bool{}
	for _, entry := range sessions {
		v.sessions[entry.ID] = true
	}
	return v, err
}

func lives(p *child.Process) string {
	switch {
	case p.Runs():
		return up
	case !p.ExitExpected() || p.ExitCode() > 0:
		return "crashed"
	default:
		return down
	}
}

func suffrage(peer plan.Peer, isPeer bool) string {
	switch {
	case !isPeer:
		return noPeer
	case peer.Voter:
		return voter
	default:
		return nonVoter
	}
}

func serf(members map[string]plan.Member, id string) string {
	if member, ok := members[id]; ok {
		return string(member.Status)
	}
	return absent
}

// write has the leader acknowledge a write.
func (c *cluster) write() {
	c.t.Helper()
	key := fmt.Sprintf("key-%d", len(c.written))
	c.Eventually(func() error {
		_, err := c.client(c.leader()).KV().Put(&api.KVPair{Key: key, Value: []byte(key)}, nil)
		return err
	}, patience, interval).Should(Succeed())
	c.written = append(c.written, key)
}

// lost are the acknowledged writes that the leader does not have.
func (c *cluster) lost() []string {
	c.t.Helper()
	return slices.DeleteFunc(slices.Clone(c.written), func(key string) bool {
		var pair *api.KVPair
		c.Eventually(func() (err error) {
			pair, _, err = c.client(c.leader()).KV().Get(key, &api.QueryOptions{RequireConsistent: true})
			return err
		}, patience, interval).Should(Succeed())
		return pair != nil
	})
}

// client keeps no connection: a server takes no more than 200 from one address.
func (c *cluster) client(s *server) *api.Client {
	config := api.DefaultNonPooledConfig()
	config.Address = s.http()
	client, err := api.NewClient(config)
	c.Expect(err).NotTo(HaveOccurred())
	return client
}
