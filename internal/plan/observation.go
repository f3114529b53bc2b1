package plan

import (
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// Observation is one coherent snapshot of a cluster. It is never changed once it was made.
type Observation struct {
	Spec Spec
	// Damaged says which record cannot be read without which it is not known which servers may start; nil if all can.
	Damaged *Problem
	// Waited is what the last decision waited for, and since when; empty if it waited for nothing.
	Waited Waited
	// Failures are the attempts of the last pass that did not succeed, those of people's concern first.
	Failures []Failure
	// Servers that have a claim, by serial.
	Servers []Server
	// Orphans are the names of pods that have not started, or have ended, and whose claim is gone: they never run again, and
	// nothing else deletes them.
	Orphans []string
	// FailedVolumes are the names of the claims that were set aside because their server had failed.
	FailedVolumes []string
	// Former are the names of pods that a deleted cluster of the same name left behind and that may still run.
	Former []string
	// LeftBehind are those of them that nothing will ever stop: the cluster was deleted without its objects.
	LeftBehind []string
	// NodesKnown reports whether the operator may see nodes.
	NodesKnown bool
	// Unclaimed is how many pods the disruption budget counts beside those of the servers: their claim is gone, or they belong
	// to a deleted cluster of the same name.
	Unclaimed int
	// MinAvailable is how many ready pods the disruption budget asks for; nil if there is no budget.
	MinAvailable *int
	Raft         Raft
}

// Waited is a wait that goes on.
type Waited struct {
	Reason reason.Reason
	Since  time.Time
}

// AllPods is how many pods the disruption budget counts when every server has one. A budget that asks for all of them to be
// ready forbids every eviction, also of a pod that is not ready.
func (o Observation) AllPods() int { return max(1, len(o.Servers)+o.Unclaimed) }

// Spec is what is wanted, and what the records on the ConsulCluster say of its past.
type Spec struct {
	Replicas int
	MaxSurge int
	// InPlace reports whether servers get another revision on the volumes they have.
	InPlace         bool
	LeaderStableFor time.Duration
	// Revision that every server should run.
	Revision string
	Paused   bool
	// Autopilot are the settings of autopilot that users ask for, by name. What they do not ask for is left as it is.
	Autopilot map[string]string
	// Settings is the hash of what servers are to read again while they run; empty for nothing.
	Settings string
	// Gossip is the encryption of gossip.
	Gossip Gossip
	// TLS is the proof by which servers are known to others.
	TLS TLS
	// ACLs says how far ACLs have got.
	ACLs ACLs
	// AgentsReady is a phase of gossip or TLS, or a step of the rotation of the authority, for which a person says that the client
	// agents are prepared; empty for none.
	AgentsReady string
	// Network is who reaches the servers.
	Network Network
	// Invalid says why the spec cannot be honored; nil if it can.
	Invalid *Problem
	// ReadsOnlyOldLogs reports whether the wanted version is one of Agent.ReadsOnlyOldLogs.
	ReadsOnlyOldLogs bool
	// ReadsSecrets reports whether the spec names Secrets of users: nothing tells the operator when those change.
	ReadsSecrets bool
	// Monitored reports whether there is to be a PodMonitor: nothing tells the operator when that changes either, or the API server
	// learns of the kind.
	Monitored bool
	// Unusable says why a Secret that the spec of a running cluster names cannot be used; nil if all can.
	Unusable *Problem
	// Bootstrapped reports whether a leader was ever seen. Unrecorded reports whether its record is missing.
	Bootstrapped, Unrecorded bool
	// NextSerial is the serial of the next server.
	NextSerial int
	// ReplaceFailedAfter is how long a voter may be unhealthy before another server takes its place; 0 disables replacement.
	ReplaceFailedAfter time.Duration
	// ReplacementsLeft is how many more servers may be given up within this hour.
	ReplacementsLeft int
	// Transfer is a user's request to hand over leadership; nil if there is none.
	Transfer *TransferRequest
	// FormerVolumes are those of a former cluster that this one takes over; nil if it takes over none.
	FormerVolumes *FormerVolumes
	// Founding is the snapshot with which a new cluster begins; nil if it begins empty.
	Founding *Founding
	// GrowUpTo is the size up to which volumes grow by themselves, in bytes; 0 if they do not.
	GrowUpTo int64
	// UpgradeSnapshot is taken before an upgrade that is about to begin; nil if none is, or if it needs none.
	UpgradeSnapshot *UpgradeSnapshot
	// Restore is the ConsulRestore that the cluster makes way for, or is to; nil if there is none.
	Restore *Restore
	// Recovery is the recovery of a lost quorum that is under way; nil if there is none.
	Recovery *Recovery
	// AcceptedLoss are the servers that a person gave up for good; nil if nobody accepted a loss.
	AcceptedLoss []string
	// RecoverAfter is how long a quorum has to be lost for good before it is recovered without a person; nil for never.
	RecoverAfter *time.Duration
	// Object is what the cluster is called in a command: "consul -n default".
	Object string
}

// Recovery of a lost quorum, as it was decided.
type Recovery struct {
	// ID is unique to this recovery.
	ID string
	// Survivor carries on as the only voter, with the data it has.
	Survivor string
	// Lost are the servers that are given up.
	Lost []string
}

// TransferRequest asks for one transfer of leadership.
type TransferRequest struct {
	// To is a server's name; empty for the best one.
	To string
}

// Server is a volume claim and what is known of the server that lives on it.
type Server struct {
	Name   string
	Serial int
	// ID is the node id, derived from the cluster's UID and the server's name.
	ID string
	// Revision that the server is to run.
	Revision string
	// BootstrapExpect is more than 0 for the servers that found the cluster.
	BootstrapExpect int
	// Retiring is the marker on the claim of a server that retires.
	Retiring bool
	// InPlace is a marker beside Retiring: the server comes back on its volume, of another revision.
	InPlace bool
	// WrongVolume reports whether its volume is of another storage class than is wanted, or larger. Unbound reports whether its
	// claim has no volume yet, so there is no data.
	WrongVolume, Unbound bool
	// Wrote is the Consul version that is recorded as the last one that ran on its volume; empty if none is.
	Wrote string
	// Failed is the marker of a server that was given up: its volume is not to be deleted.
	Failed bool
	// ClaimDeleting reports whether somebody deleted the claim; its volume is lost as soon as no pod uses it.
	ClaimDeleting bool
	// Pod is nil when there is none.
	Pod   *Pod
	Agent Agent
	// Peer is the server in the Raft configuration as the leader has it; nil if it is not in it.
	Peer *Peer
	// Member is the server's state in Serf as the leader sees it.
	Member MemberStatus
	// Volume is how large its volume is, and how full.
	Volume Volume
	// Registration is the server's state in the catalog, as it was last known.
	Registration Registration
	// Health is the verdict of the leader's autopilot.
	Health Health
	// UnhealthySince is when this leader was first seen to call the server unhealthy, if it does. Each leader counts anew.
	UnhealthySince time.Time
	// Routed reports whether the client Service sends connections to the server.
	Routed bool
}

// Volume is how large a volume is, and how full, in bytes.
type Volume struct {
	// Requested is what its claim asks for. Growing reports whether the volume does not have that yet.
	Requested int64
	Growing   bool
	// Used and Capacity are what its file system says; Capacity is 0 if that is not known.
	Used, Capacity int64
}

// Pod is a server's pod.
type Pod struct {
	Revision string
	Address  string
	// Running reports whether the Consul process runs.
	Running bool
	// Ready is the pod's Ready condition: probes and gate.
	Ready bool
	// Serving is the readiness gate.
	Serving     bool
	ServingFrom time.Time
	Terminating bool
	// Node is where it was scheduled to; empty for nowhere yet. Avoids are nodes to which it is never scheduled.
	Node   string
	Avoids []string
	// Cordoned reports whether its node takes no more pods, as a draining node does.
	Cordoned bool
	// StopBy is when a terminating pod has to be gone, its grace period included.
	StopBy time.Time
	// Finished reports whether the server will never run again in this pod. Created is when the pod was created.
	Finished bool
	Created  time.Time
	// Problem says what keeps the process from running; empty if nothing does.
	Problem Problem
	// Unready says what keeps a server that runs from being ready, if that is not Consul.
	Unready string
	// Recovery is the id of the recovery that it was created for; empty for none.
	Recovery string
	// Gossip, TLS and ACLs are the phases of its server. MayHaveKey is false if the server certainly has no gossip key.
	Gossip     GossipPhase
	TLS        TLSPhase
	ACLs       ACLPhase
	MayHaveKey bool
	// Settings is the hash of the settings in its file, which were given to it last at GivenAt. Reloads reports whether it has
	// such a file: a pod of an older operator has none.
	Settings string
	GivenAt  time.Time
	Reloads  bool
}

// Agent is what a server's own agent said.
type Agent struct {
	// Answered is false if it did not answer in time, which says neither that it is dead nor that it is alive.
	Answered bool
	// Silence is why it did not answer; empty if it did, or if it was not asked because its process does not run.
	Silence Silence
	// KnowsLeader reports whether it knows a leader, wherever that is.
	KnowsLeader bool
	// Version and ReadsOnlyOldLogs are known of a mute server as well, by what it has told the others.
	Version string
	// ReadsOnlyOldLogs is set for Consul up to 1.20.1, which cannot read the log of a leader of a later version: hashicorp/raft
	// 1.5 does not know the format in which 1.7 writes times (measured with 1.19.2 and 1.22.7). The other way round it works.
	ReadsOnlyOldLogs bool
	// Settings is the hash of the settings that it has read; empty for none.
	Settings string
	// Certificate identifies the certificate that it presents; empty without TLS.
	Certificate string
	// UsesFormerToken reports whether it has not read the present ACL tokens, and uses the former ones.
	UsesFormerToken bool
	// LastIndex and LastTerm are those of its last Raft log entry.
	LastIndex, LastTerm uint64
	// Outlook is how it sees a cluster without a leader; nil if it was not asked, or did not tell.
	Outlook *Outlook
}

// Silence is why an agent that was asked did not answer, in words.
type Silence string

// Why an agent does not answer. A refusal is proof of life: the server may well serve others.
const (
	SilenceRefused    Silence = "connection refused"
	SilenceNoRoute    Silence = "no connection in time"
	SilenceUnanswered Silence = "connected, and no answer in time"
	SilenceForbidden  Silence = "refused by Consul's ACLs"
	SilenceStranger   Silence = "another server answers at its address"
	SilenceUntrusted  Silence = "its certificate is of another authority, or for another name"
	SilenceStrange    Silence = "a strange answer"
)

// Outlook is the cluster as one server sees it.
type Outlook struct {
	Peers   []Peer
	Members []Member
}

// Raft is the cluster as the leader's own agent describes it.
type Raft struct {
	// Known reports whether a leader was found and its agent told all of the below.
	Known bool
	// Unknown says for people why it is not known.
	Unknown string
	// Leader is the name of the server that leads.
	Leader string
	Term   uint64
	// LostSince is when the quorum was first seen to be lost for good.
	LostSince time.Time
	// LeaderSince is when this leader was first seen in this term.
	LeaderSince time.Time
	Peers       []Peer
	Members     []Member
	// Catalog is what the leader showed of its catalog.
	Catalog []Node
	// CatalogTold reports whether that is the whole catalog. Otherwise, what is not in it proves nothing: the leader did not
	// answer the question, or ACLs may hide a part.
	CatalogTold bool
	// CatalogUnanswered reports whether the leader did not answer the question for the catalog.
	CatalogUnanswered bool
	// MinQuorum is how few servers autopilot's cleanup of dead servers leaves.
	MinQuorum int
	// Autopilot are its settings by name.
	Autopilot map[string]string
	// Gossip is who else takes part in gossip. It is asked for while a phase of its encryption or of TLS lies ahead, or its key
	// or the authority is rotated.
	Gossip GossipMembers
}

// GossipMembers are those whom a phase of gossip encryption or of TLS, or another key, could cut off.
type GossipMembers struct {
	// Unanswered says why the leader did not list them, and KeysUnanswered why it did not tell their keys; empty if it did, or was
	// not asked.
	Unanswered, KeysUnanswered string
	// Keyless says how many do not have the gossip key; empty if all have. It is asked for when all servers have it.
	Keyless string
	// Encrypted reports whether gossip is encrypted in phase Off: with a key that the operator does not know.
	Encrypted bool
	// ClientAgents are the names of the client agents that have not left Serf, and DownAgents of those that have failed.
	ClientAgents, DownAgents []string
	// Keyring is what they have of the key. It is asked for while the key is rotated.
	Keyring Keyring
}

// Peer is an entry of the Raft configuration.
type Peer struct {
	ID    string
	Name  string
	Voter bool
	// Ours reports whether it is known to be or to have been a server of this cluster. Only an Outlook tells.
	Ours bool
}

// Member is an entry of the Serf LAN member list.
type Member struct {
	ID     string
	Name   string
	Status MemberStatus
	// Version of its Consul, as it has told the others; empty for none.
	Version string
}

// Node is an entry of Consul's catalog of its own servers.
type Node struct {
	ID   string
	Name string
}

// MemberStatus is a member's state in Serf.
type MemberStatus string

// States in Serf. The zero value stands for a server that Serf does not know.
const (
	MemberAbsent  MemberStatus = ""
	MemberAlive   MemberStatus = "alive"
	MemberLeaving MemberStatus = "leaving"
	MemberLeft    MemberStatus = "left"
	MemberFailed  MemberStatus = "failed"
)

// Registration is a server's state in Consul's catalog.
type Registration string

// States in the catalog. The zero value stands for one that was never told.
const (
	Registered    Registration = "Registered"
	NotRegistered Registration = "Absent"
)

// Health is autopilot's verdict on a server.
type Health string

// The verdicts of autopilot. The zero value stands for a server on which it has none.
const (
	HealthUnknown   Health = ""
	HealthHealthy   Health = "healthy"
	HealthUnhealthy Health = "unhealthy"
)
