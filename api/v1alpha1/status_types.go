package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConsulClusterStatus is what the operator saw last.
type ConsulClusterStatus struct {
	// ObservedGeneration is the generation of the spec that this status speaks of.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Replicas is the number of servers, those that join or retire among them.
	//
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// ReadyReplicas is the number of servers in the client Service.
	//
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`

	// UpdatedReplicas is the number of servers that run the wanted revision.
	//
	// +optional
	UpdatedReplicas int32 `json:"updatedReplicas,omitempty"`

	// Ready is readyReplicas/spec.replicas, for people.
	//
	// +optional
	Ready string `json:"ready,omitempty"`

	// Voters is the number of voters in the Raft configuration.
	//
	// +optional
	Voters int32 `json:"voters,omitempty"`

	// FailureTolerance is the number of healthy voters that may fail before quorum is lost.
	//
	// +optional
	FailureTolerance int32 `json:"failureTolerance,omitempty"`

	// Leader is the server that leads; empty when none does or it is not known.
	//
	// +optional
	Leader string `json:"leader,omitempty"`

	// LeaderSince is when this leader was first seen to lead in this term.
	//
	// +optional
	LeaderSince *metav1.Time `json:"leaderSince,omitempty"`

	// QuorumLostSince is when the quorum was first seen to be lost for good; left out while it is not.
	//
	// +optional
	QuorumLostSince *metav1.Time `json:"quorumLostSince,omitempty"`

	// Term is the leader's Raft term.
	//
	// +optional
	Term int64 `json:"term,omitempty"`

	// Version is the lowest Consul version that a server runs.
	//
	// +optional
	Version string `json:"version,omitempty"`

	// Revision is the wanted revision of the servers.
	//
	// +optional
	Revision string `json:"revision,omitempty"`

	// Selector of the servers' pods, for the scale subresource.
	//
	// +optional
	Selector string `json:"selector,omitempty"`

	// Conditions: Ready, Reconciling and Stalled as kstatus reads them, and Available.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Servers, by serial.
	//
	// +listType=map
	// +listMapKey=name
	// +optional
	Servers []ServerStatus `json:"servers,omitempty"`

	// Disagreements are the servers on which Kubernetes, Raft, Serf and the catalog do not agree, those of nobody known
	// among them. Some come and go with each server that joins or leaves. Empty while no leader is known.
	//
	// +listType=atomic
	// +optional
	Disagreements []Disagreement `json:"disagreements,omitempty"`

	// Rule is the rule of the operator that made the last decision (docs/reference/rules.md); left out when nothing is left to
	// do.
	//
	// +optional
	Rule string `json:"rule,omitempty"`

	// Refusal is what the API server refused last, in its words; left out while it refuses nothing.
	//
	// +optional
	Refusal string `json:"refusal,omitempty"`

	// LastHandoff is the last transfer of leadership that the operator made.
	//
	// +optional
	LastHandoff *Handoff `json:"lastHandoff,omitempty"`
}

// ServerStatus is what the operator saw of one server.
type ServerStatus struct {
	// Name of the server, its pod and its claim.
	Name string `json:"name"`

	// ID is the Raft and node id.
	//
	// +optional
	ID string `json:"id,omitempty"`

	// Address of the pod.
	//
	// +optional
	Address string `json:"address,omitempty"`

	// Version of Consul that it runs.
	//
	// +optional
	Version string `json:"version,omitempty"`

	// State in one word; see ServerState.
	//
	// +optional
	State ServerState `json:"state,omitempty"`

	// Raft is its place in the Raft configuration, as the leader has it: Voter, NonVoter or Absent; left out while no
	// leader is known.
	//
	// +optional
	Raft RaftSuffrage `json:"raft,omitempty"`

	// Serf is its state in Serf LAN, as the leader sees it: Alive, Leaving, Left, Failed or Absent; left out while no
	// leader is known.
	//
	// +optional
	Serf SerfState `json:"serf,omitempty"`

	// Catalog says whether it is in Consul's catalog: Registered or Absent; as it was last known while the leader does not
	// tell.
	//
	// +optional
	Catalog CatalogState `json:"catalog,omitempty"`

	// Voter says whether Raft counts its vote.
	//
	// +optional
	Voter bool `json:"voter,omitempty"`

	// Leader says whether it leads.
	//
	// +optional
	Leader bool `json:"leader,omitempty"`

	// Updated says whether it runs the wanted revision.
	//
	// +optional
	Updated bool `json:"updated,omitempty"`

	// Lag is how many log entries it is behind the leader; left out below 250, where Consul calls a server healthy.
	//
	// +optional
	Lag int64 `json:"lag,omitempty"`

	// UnhealthySince is when the leader was first seen to call it unhealthy; left out while it does not.
	//
	// +optional
	UnhealthySince *metav1.Time `json:"unhealthySince,omitempty"`

	// Message says what keeps it from serving.
	//
	// +optional
	Message string `json:"message,omitempty"`
}

// ServerState is a server's state in one word.
type ServerState string

// The states of a server.
const (
	// ServerPending has no running process yet: no claim, node, image or start.
	ServerPending ServerState = "Pending"
	// ServerFailing cannot start or its process crashes.
	ServerFailing ServerState = "Failing"
	// ServerJoining runs and is not a voter yet.
	ServerJoining ServerState = "Joining"
	// ServerServing is a healthy voter in the client Service.
	ServerServing ServerState = "Serving"
	// ServerUnhealthy is a voter that Consul does not call healthy, or that is not ready.
	ServerUnhealthy ServerState = "Unhealthy"
	// ServerRetiring is on its way out.
	ServerRetiring ServerState = "Retiring"
	// ServerUnknown does not answer, and nobody can say how it is.
	ServerUnknown ServerState = "Unknown"
)

// RaftSuffrage is a server's place in the Raft configuration.
type RaftSuffrage string

// The suffrages.
const (
	RaftVoter    RaftSuffrage = "Voter"
	RaftNonVoter RaftSuffrage = "NonVoter"
	RaftAbsent   RaftSuffrage = "Absent"
)

// SerfState is a server's state in Serf LAN.
type SerfState string

// The states in Serf. A server that has left said goodbye; one that has failed did not.
const (
	SerfAlive   SerfState = "Alive"
	SerfLeaving SerfState = "Leaving"
	SerfLeft    SerfState = "Left"
	SerfFailed  SerfState = "Failed"
	SerfAbsent  SerfState = "Absent"
)

// CatalogState is a server's state in Consul's catalog.
type CatalogState string

// The states in the catalog.
const (
	CatalogRegistered CatalogState = "Registered"
	CatalogAbsent     CatalogState = "Absent"
)

// Disagreement is a server on which Kubernetes, Raft, Serf and the catalog do not agree.
type Disagreement struct {
	// Name of the server or node; its id where nobody knows a name.
	Name string `json:"name"`

	// ID is the Raft and node id.
	//
	// +optional
	ID string `json:"id,omitempty"`

	// Problem says who knows it, and who does not.
	Problem string `json:"problem"`

	// Action is what the operator does about it, or what a person can do.
	Action string `json:"action"`
}

// Handoff is a transfer of leadership.
type Handoff struct {
	// From is the server that led.
	From string `json:"from"`
	// To is the server that leads since.
	To string `json:"to"`
	// At is when the new leader was seen.
	At metav1.Time `json:"at"`
	// Took is the time from the request to the new leader's being seen.
	Took metav1.Duration `json:"took"`
}
