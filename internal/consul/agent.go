package consul

import (
	"context"
	"time"

	"github.com/consul-operator/consul-operator/internal/plan"
)

// Agent is one Consul server, called through its own HTTP API. All methods are safe for concurrent use. Their errors can be
// compared to the Err values of this package with errors.Is.
type Agent interface {
	// Self returns what the agent knows about itself. The agent answers it alone: measured to work without a leader, and in a
	// server that is leaving.
	Self(ctx context.Context) (Self, error)
	// RaftPeers returns the Raft configuration as this server has it, leader or not, with the names that Serf knows. A server
	// that lags behind returns an older one. A server that has heard of no leader since it started does not answer: see Self.
	RaftPeers(ctx context.Context) ([]plan.Peer, error)
	// Members returns the servers in Serf LAN, as this agent sees them, without client agents.
	Members(ctx context.Context) ([]plan.Member, error)
	// ClientAgents returns the client agents that have not left.
	ClientAgents(ctx context.Context) (ClientAgents, error)
	// Keyring returns the gossip keys in Serf LAN. It asks all members, client agents included, and fails unless each of them
	// answers: with ErrNoKey if one has no key. A member that is just starting may crash on the question, a nil pointer in Serf
	// (measured, 1.22.7): ask when all servers run.
	Keyring(ctx context.Context) (Keyring, error)
	// InstallGossipKey gives a gossip key to all members of Serf LAN, UseGossipKey makes them encrypt with it, and RemoveGossipKey
	// makes them forget it. They write it down, and fail unless each member that is alive did it; the others have done it all the
	// same, and so do members that join within seconds: such a query goes on being spread (measured). A member refuses to use a
	// key that it does not have, and to remove the one that it uses.
	InstallGossipKey(ctx context.Context, key string) error
	UseGossipKey(ctx context.Context, key string) error
	RemoveGossipKey(ctx context.Context, key string) error
	// MakeToken makes an ACL token, and the policy that it has. It is safe to repeat.
	MakeToken(ctx context.Context, t Token) error
	// GrantAnonymous gives a policy to all who have no token, besides what they have been given otherwise. One without rules takes
	// the rights of a former one.
	GrantAnonymous(ctx context.Context, p Policy) error
	// RevokeToken takes all rights from an ACL token, and DeleteToken deletes it. One that does not exist is no error. A server that
	// becomes leader makes the management token that it was started with, unless it is there, with or without rights (measured,
	// 1.19.2 and 1.22.7). Both need acl:write, and not by the token itself.
	RevokeToken(ctx context.Context, secret string) error
	DeleteToken(ctx context.Context, secret string) error
	// Catalog returns the servers in Consul's catalog, as this server has it, leader or not. It is briefly empty in a new
	// cluster, and after a restore. If ACLs may hide servers, it returns those that are shown, and ErrFiltered.
	Catalog(ctx context.Context) ([]plan.Node, error)
	// Health returns autopilot's verdict on each server that it knows, by node ID. It comes from the leader, to which other
	// servers forward the call: without a leader it returns ErrNoLeader or, sooner, ErrUnanswered. The leader updates it every
	// 2 s: right after an election it may list no servers and not show the leader (measured).
	Health(ctx context.Context) (map[string]plan.Health, error)
	// LeaderAddr returns host:port of the leader's RPC address as this server knows it; empty if it knows no leader. It is for a
	// server that does not answer Self: that call waits for a lock which an agent holds while it registers itself with the leader,
	// and that takes as long as nothing can be committed (State.SyncChanges in Consul's agent/local/state.go; met with 1.22.7).
	LeaderAddr(ctx context.Context) (string, error)
	// Autopilot returns autopilot's settings: their names as in Consul's configuration files, their values as Go prints them,
	// such as "true", "250" and "10s".
	Autopilot(ctx context.Context) (map[string]string, error)
	// SetAutopilot changes only these settings of autopilot, by compare-and-set, so concurrent changes by others are kept. It
	// writes nothing if they are so already.
	SetAutopilot(ctx context.Context, settings map[string]string) error
	// TransferLeadership transfers leadership to the server with this node ID. Call it on the leader's own agent, with the ID
	// of a healthy voter: given a non-voter, Consul reports success and has no leader for 8 s. Success means only that the
	// leader stepped down, so check who leads afterwards. An unknown ID returns ErrNotFound.
	TransferLeadership(ctx context.Context, id string) error
	// Reload makes the agent read its configuration files again, and its certificates, which new connections see. A file that it
	// refuses changes nothing.
	Reload(ctx context.Context) error
	// Leave makes this server leave the cluster and exit. Consul answers only when it is done, after 3.5 s with Serf WAN off
	// and no drain, which exceeds the timeout of a call: expect ErrUnanswered while the leave continues (measured).
	Leave(ctx context.Context) error
	// ForceLeave makes Serf mark the failed member with this name as left, so that the leader removes it from Raft. A member
	// that is alive refutes it. It returns ErrNotFound if Serf does not know the member.
	ForceLeave(ctx context.Context, node string) error
	// RemovePeer removes the server with this node ID from the Raft configuration; it needs a leader. It returns ErrNotFound
	// if Raft does not know the server.
	RemovePeer(ctx context.Context, id string) error
	// Deregister takes the node with this name out of the catalog.
	Deregister(ctx context.Context, node string) error
	// WatchServers sends a blocking query on the servers in the catalog. Call what it returns once: it waits until a server joins,
	// leaves, fails or recovers, or for wait (plus up to a sixteenth of it), and with index 0 for the answer alone. An equal
	// index means that nothing happened. It does not return when leadership moves; see WatchLeader.
	WatchServers(ctx context.Context, index uint64, wait time.Duration) (answer func() (next uint64, err error))
	// WatchLeader opens a stream. Call what it returns once: it calls changed at each sign that leadership moved, until ctx is
	// done or the stream breaks, and also once if the stream is open: from then on nothing is missed. A sign is a hint, not a
	// fact. It never returns nil.
	WatchLeader(ctx context.Context) (read func(changed func()) error)
}

// ClientAgents are the client agents of a cluster.
type ClientAgents struct {
	// Alive is how many are alive.
	Alive int
	// Names are those that are alive or have failed, and so may come back; Down those that have failed. Both are sorted, and 1000 at
	// most.
	Names, Down []string
}

// Self is what an agent reports about itself.
type Self struct {
	NodeID, Version string
	// Settings is the hash of the settings that it has read last; empty if they have none.
	Settings string
	// Certificate identifies the certificate that the agent presented on this connection (pki.Fingerprint); empty for http.
	// Connections that are in use for a while show the one from before a reload.
	Certificate string
	// UsesFormerToken reports whether it has not read Target.AgentToken yet, and knows the former one.
	UsesFormerToken bool
	// Leads reports whether this server is the leader in its own view: one that was deposed may not know it yet.
	Leads bool
	Term  uint64
	// LastIndex and LastTerm are those of the last entry in this server's Raft log.
	LastIndex, LastTerm uint64
	// LeaderAddr is host:port of the leader's RPC address as this server knows it; empty if it knows no leader.
	LeaderAddr string
	// Peers are the latest Raft configuration that this server has, committed or not, without names. Unlike RaftPeers it is
	// available without any leader: measured on servers that were started when there was none. It is empty if the server has
	// never joined, and nil if it did not report it.
	Peers []plan.Peer
}
