package consul

import (
	"context"
	"time"
)

// Agent is one Consul server, asked through its own HTTP API. All methods are safe for concurrent use; all return
// errors that errors.Is compares with the Err values of this package.
type Agent interface {
	// Self tells what the agent knows about itself. It is answered by the agent alone: measured to work without a
	// leader, and in a server that is leaving.
	Self(ctx context.Context) (Self, error)
	// RaftPeers is the Raft configuration as this server sees it, leader or not, with the names that Serf knows. Servers that
	// lag behind show an older one. One that has heard of no leader since it started does not answer: see Self.
	RaftPeers(ctx context.Context) ([]Peer, error)
	// Members are the servers that Serf LAN knows, in the view of this agent; client agents are left out.
	Members(ctx context.Context) ([]Member, error)
	// Catalog are the servers in Consul's catalog, as this server has it, leader or not. It is empty in a new cluster for
	// a moment, and where ACLs hide it.
	Catalog(ctx context.Context) ([]Node, error)
	// Health is autopilot's view. The leader makes it, other servers forward to the leader: ErrNoLeader or, sooner,
	// ErrUnanswered without one. The leader looks each 2 s: right after an election Health may list no servers and
	// not show who leads (measured).
	Health(ctx context.Context) (Health, error)
	// MinQuorum is the number of servers below which autopilot removes none.
	MinQuorum(ctx context.Context) (uint, error)
	// SetMinQuorum changes this field alone of the autopilot configuration, by compare-and-set: what others set at
	// the same time is kept. Where the value is right already nothing is written.
	SetMinQuorum(ctx context.Context, n uint) error
	// TransferLeadership hands leadership to the server with this node id. Call it on the leader's own agent, with
	// the id of a healthy voter: given a non-voter Consul reports success and has no leader for 8 s. Success means
	// only that the leader stepped down, so look who leads afterwards. An unknown id is ErrNotFound.
	TransferLeadership(ctx context.Context, id string) error
	// Leave makes this server leave the cluster and exit. Consul answers only when it is done, after 3.5 s with
	// Serf WAN off and no drain, which is later than the timeout of a call: expect ErrUnanswered, and the leave to
	// go on regardless (measured).
	Leave(ctx context.Context) error
	// ForceLeave makes Serf call the failed member of this name left, so that the leader removes it from Raft; one that is
	// alive refutes it. ErrNotFound if Serf does not know it.
	ForceLeave(ctx context.Context, node string) error
	// RemovePeer removes the server with this node id from the Raft configuration; it needs a leader. ErrNotFound if
	// Raft does not know it.
	RemovePeer(ctx context.Context, id string) error
	// WatchServers is a blocking query on the servers in the catalog: it returns when one joins, leaves, fails or
	// recovers, or after wait (and up to a sixteenth of it more). Index 0 returns at once. Equal indexes mean that
	// nothing happened. It does not return when leadership moves, see LeaderWatcher.
	WatchServers(ctx context.Context, index uint64, wait time.Duration) (next uint64, err error)
}

// LeaderWatcher is an Agent that can tell of a change of the leader while it happens. It is apart from Agent because
// only the Watcher needs it, and can do without.
type LeaderWatcher interface {
	// WatchLeader calls changed at each sign that leadership moved, until ctx is done or the stream breaks. It calls
	// changed once when the stream is open, too: from then on nothing is missed. A sign is a hint, not a fact. It never
	// returns nil.
	WatchLeader(ctx context.Context, changed func()) error
}

// RaftState is what a server is in Raft; empty if it did not say.
type RaftState string

// The states of a server in Raft, as Consul spells them.
const (
	Leader    RaftState = "Leader"
	Follower  RaftState = "Follower"
	Candidate RaftState = "Candidate"
)

// MemberStatus is the status of a member in Serf; empty if it is unknown.
type MemberStatus string

// The statuses of a member in Serf. A member that left said goodbye; one that failed did not.
const (
	MemberAlive   MemberStatus = "alive"
	MemberLeaving MemberStatus = "leaving"
	MemberLeft    MemberStatus = "left"
	MemberFailed  MemberStatus = "failed"
)

// Self is what an agent says about itself.
type Self struct {
	NodeID, Name, Version string
	State                 RaftState
	Term                  uint64
	LastIndex, LastTerm   uint64 // of the last entry in this server's Raft log
	AppliedIndex          uint64 // of the last entry applied to its state
	// LeaderAddr is host:port of the leader's RPC address as this server knows it (comparable with Peer.Address), ""
	// if it knows none.
	LeaderAddr string
	// Peers are the latest Raft configuration that this server has, committed or not, without names. Unlike RaftPeers it is
	// there without any leader, too: measured on servers that were started when there was none. It is empty in a server that
	// has never joined, and nil in one that did not say.
	Peers []Peer
}

// Peer is one server in the Raft configuration.
type Peer struct {
	ID      string
	Name    string // "" if Serf does not know the id
	Address string // host:port of the RPC address
	// Leader is what the asked server believes; Voter is false for a server that is still to be promoted.
	Voter, Leader   bool
	ProtocolVersion string
}

// Member is one server in Serf LAN.
type Member struct {
	ID, Name string
	Address  string // host:port of the RPC address, comparable with Peer.Address
	Status   MemberStatus
	Version  string // without build metadata: 1.22.7
}

// Node is one server in the catalog.
type Node struct {
	ID, Name string
}

// Health is autopilot's view of the cluster.
type Health struct {
	Healthy          bool // all servers are
	FailureTolerance int  // how many healthy servers may be lost without an outage
	Servers          []ServerHealth
}

// ServerHealth is autopilot's view of one server.
type ServerHealth struct {
	ID, Name               string
	Healthy, Voter, Leader bool
	LastIndex, LastTerm    uint64
	LastContact            time.Duration // with the leader
	SerfStatus             MemberStatus
	Version                string
}
