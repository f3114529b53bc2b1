package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConsulClusterStatus is the last observed state of a ConsulCluster.
type ConsulClusterStatus struct {
	// ObservedGeneration is the generation of the spec that this status describes.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Replicas is the number of servers, including those that are joining or retiring.
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

	// Ready is readyReplicas/spec.replicas, for display.
	//
	// +optional
	Ready string `json:"ready,omitempty"`

	// Voters is the number of voters in the Raft configuration.
	//
	// +optional
	Voters int32 `json:"voters,omitempty"`

	// FailureTolerance is the number of healthy voters that can fail before the quorum is lost.
	//
	// +optional
	FailureTolerance int32 `json:"failureTolerance,omitempty"`

	// Leader is the server that leads; empty if there is no leader or it is unknown.
	//
	// +optional
	Leader string `json:"leader,omitempty"`

	// LeaderSince is when this server was first observed as the leader in this term.
	//
	// +optional
	LeaderSince *metav1.Time `json:"leaderSince,omitempty"`

	// QuorumLostSince is when the quorum was first observed to be permanently lost; omitted while it is not.
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

	// Revisions that servers run, or should run, each with a digest of its Secret.
	//
	// +listType=map
	// +listMapKey=name
	// +optional
	Revisions []RevisionStatus `json:"revisions,omitempty"`

	// GossipEncryption is the current phase of gossip encryption: Off, Accepting (servers have the key, send unencrypted, accept
	// both), Sending (send encrypted, accept both) or Required (send and accept encrypted only). Omitted if it was never enabled.
	//
	// +optional
	GossipEncryption GossipPhase `json:"gossipEncryption,omitempty"`

	// TLS is the current phase of TLS: Off, Accepting (servers have certificates, call RPC without TLS, take both), Sending (call
	// by TLS, take both), Required (call and take RPC by TLS only) or HTTPSOnly (the same, and HTTP is closed). Omitted if servers
	// never had certificates.
	//
	// +optional
	TLS TLSPhase `json:"tls,omitempty"`

	// ACLs is the current phase of ACLs: Off, Allow (servers check tokens, and allow requests that no rule matches) or Deny (they
	// check tokens, and deny such requests). Omitted if servers never had ACLs.
	//
	// +optional
	ACLs ACLPhase `json:"acls,omitempty"`

	// Access is how to reach the cluster and log in. Omitted until the cluster is founded.
	//
	// +optional
	Access *Access `json:"access,omitempty"`

	// NetworkPolicy is the name of the NetworkPolicy that the operator keeps for the servers. Omitted if it keeps none.
	//
	// +optional
	NetworkPolicy string `json:"networkPolicy,omitempty"`

	// PodMonitor is the name of the PodMonitor by which Prometheus finds the servers. Omitted if there is none.
	//
	// +optional
	PodMonitor string `json:"podMonitor,omitempty"`

	// Adopted says whose volumes the cluster has taken over; omitted if it began with its own.
	//
	// +optional
	Adopted *Adopted `json:"adopted,omitempty"`

	// Selector of the servers' pods, for the scale subresource.
	//
	// +optional
	Selector string `json:"selector,omitempty"`

	// VolumesRetained is true if no volume claim of the cluster is deleted with it: storage.retention is Retain, and has been
	// applied to every claim.
	//
	// +optional
	VolumesRetained bool `json:"volumesRetained,omitempty"`

	// Conditions are Ready, Reconciling and Stalled, with the meaning kstatus gives them, Available, Secure and VolumeSpace.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Servers, ordered by serial.
	//
	// +listType=map
	// +listMapKey=name
	// +optional
	Servers []ServerStatus `json:"servers,omitempty"`

	// Disagreements are the nodes on which Kubernetes, Raft, Serf and the catalog disagree, including nodes that belong to
	// no known server. A server that joins or leaves appears here briefly. Empty while no leader is known.
	//
	// +listType=atomic
	// +optional
	Disagreements []Disagreement `json:"disagreements,omitempty"`

	// WaitingSince is since when the operator has waited for the same reason. The longer it waits, the less often it looks, at
	// least every 15 s.
	//
	// +optional
	WaitingSince *metav1.Time `json:"waitingSince,omitempty"`

	// Rule is the rule of the operator that made the last decision (docs/reference/rules.md); left out when nothing is left to
	// do.
	//
	// +optional
	Rule string `json:"rule,omitempty"`

	// Failures are what the operator tried in vain. Each is tried again after a pause of at most a minute.
	//
	// +listType=map
	// +listMapKey=attempt
	// +optional
	Failures []Failure `json:"failures,omitempty"`

	// LastHandoff is the last leadership transfer that the operator made.
	//
	// +optional
	LastHandoff *Handoff `json:"lastHandoff,omitempty"`
}

// Adopted is a cluster that has taken over the volumes of a former one.
type Adopted struct {
	// By is the UID of the cluster.
	By string `json:"by"`

	// Identity is the UID from which the ids of its servers follow.
	Identity string `json:"identity"`

	// Of is the UID of the former cluster, while its volumes are being taken over.
	//
	// +optional
	Of string `json:"of,omitempty"`
}

// Access is how people and clients reach a cluster and log in.
type Access struct {
	// Address is the URL of the cluster for clients in Kubernetes; omitted if it serves neither HTTPS nor HTTP to them.
	// spec.networkPolicy says which pods may connect.
	//
	// +optional
	Address string `json:"address,omitempty"`

	// ServerName is the name by which servers prove who they are: clients verify it. Omitted without TLS.
	//
	// +optional
	ServerName string `json:"serverName,omitempty"`

	// AuthoritiesSecret is the name of the Secret with the certificate authorities that clients believe. Omitted without TLS.
	//
	// +optional
	AuthoritiesSecret string `json:"authoritiesSecret,omitempty"`

	// PortForward is the command with which a person reaches the cluster at http://localhost:8500, through the API server.
	PortForward string `json:"portForward"`

	// UI is the address of the UI in a browser while that command runs.
	UI string `json:"ui"`

	// Token is the command that prints the management token, with which a person logs in. Omitted without ACLs.
	//
	// +optional
	Token string `json:"token,omitempty"`
}

// Failure is an attempt of the operator that did not succeed.
type Failure struct {
	// Attempt is an action of the operator with its arguments, or an object that surrounds the servers.
	Attempt string `json:"attempt"`

	// Reason is a reason of the Ready condition, such as QuotaExceeded.
	Reason string `json:"reason"`

	// Message has the words of whoever refused it.
	Message string `json:"message"`

	// Since is when it failed first.
	Since metav1.Time `json:"since"`

	// Last is when it failed last.
	Last metav1.Time `json:"last"`
}

// RevisionStatus is a revision as the operator has written it down.
type RevisionStatus struct {
	// Name of the revision. Its Secret is named <cluster>-<revision>, for example consul-0123456789.
	Name string `json:"name"`

	// Digest is the SHA-256 of what the Secret holds. Pods are created from it, and not from a Secret that holds anything else.
	Digest string `json:"digest"`
}

// ServerStatus is the last observed state of one server.
type ServerStatus struct {
	// Name of the server, of its pod and of its volume claim.
	Name string `json:"name"`

	// ID is the Raft and node ID.
	//
	// +optional
	ID string `json:"id,omitempty"`

	// Address of the pod.
	//
	// +optional
	Address string `json:"address,omitempty"`

	// Version of Consul that the server runs, or ran last while it does not answer.
	//
	// +optional
	Version string `json:"version,omitempty"`

	// State of the server: Pending, Failing, Joining, Serving, Unhealthy, Retiring or Unknown.
	//
	// +optional
	State ServerState `json:"state,omitempty"`

	// Raft is the server's suffrage in the leader's Raft configuration: Voter, NonVoter or Absent; omitted while no leader
	// is known.
	//
	// +optional
	Raft RaftSuffrage `json:"raft,omitempty"`

	// Serf is the server's state in Serf LAN, as the leader sees it: Alive, Leaving, Left, Failed or Absent; omitted while
	// no leader is known.
	//
	// +optional
	Serf SerfState `json:"serf,omitempty"`

	// Catalog is whether the server is in Consul's catalog: Registered or Absent. It keeps the last known value while the
	// leader does not report the catalog.
	//
	// +optional
	Catalog CatalogState `json:"catalog,omitempty"`

	// Voter is whether the server is a Raft voter.
	//
	// +optional
	Voter bool `json:"voter,omitempty"`

	// Leader is whether the server is the leader.
	//
	// +optional
	Leader bool `json:"leader,omitempty"`

	// Updated is whether the server runs the wanted revision.
	//
	// +optional
	Updated bool `json:"updated,omitempty"`

	// Lag is how many log entries the server is behind the leader; omitted below 250, where Consul considers a server
	// healthy.
	//
	// +optional
	Lag int64 `json:"lag,omitempty"`

	// UnhealthySince is when the leader was first observed to consider the server unhealthy; omitted while it does not.
	//
	// +optional
	UnhealthySince *metav1.Time `json:"unhealthySince,omitempty"`

	// VolumeUsed is how many percent of its volume are used, in steps of five; omitted if it is not known.
	//
	// +optional
	VolumeUsed *int32 `json:"volumeUsed,omitempty"`

	// Message says what keeps the server from serving.
	//
	// +optional
	Message string `json:"message,omitempty"`
}

// ServerState is the state of a server.
type ServerState string

// The states of a server.
const (
	// ServerPending has no running Consul process yet: it waits for its volume, a node, the image or its start.
	ServerPending ServerState = "Pending"
	// ServerFailing cannot start, or its process crashes.
	ServerFailing ServerState = "Failing"
	// ServerJoining runs but is not a voter yet.
	ServerJoining ServerState = "Joining"
	// ServerServing is a healthy voter in the client Service.
	ServerServing ServerState = "Serving"
	// ServerUnhealthy is a voter that Consul does not consider healthy, or whose pod is not ready.
	ServerUnhealthy ServerState = "Unhealthy"
	// ServerRetiring is being removed, or updated in place.
	ServerRetiring ServerState = "Retiring"
	// ServerUnknown does not answer, or there is no leader to report on it.
	ServerUnknown ServerState = "Unknown"
)

// RaftSuffrage is a server's suffrage in the Raft configuration.
type RaftSuffrage string

// The suffrages.
const (
	RaftVoter    RaftSuffrage = "Voter"
	RaftNonVoter RaftSuffrage = "NonVoter"
	RaftAbsent   RaftSuffrage = "Absent"
)

// SerfState is a server's state in Serf LAN.
type SerfState string

// The states in Serf. A server that left did so gracefully; one that failed did not.
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

// Disagreement is a node on which Kubernetes, Raft, Serf and the catalog disagree.
type Disagreement struct {
	// Name of the server or node; its ID if the name is unknown.
	Name string `json:"name"`

	// ID is the Raft and node ID.
	//
	// +optional
	ID string `json:"id,omitempty"`

	// Problem says which of the lists contain the node and which do not.
	Problem string `json:"problem"`

	// Action is what the operator does about it, or what you can do.
	Action string `json:"action"`
}

// Handoff is a leadership transfer.
type Handoff struct {
	// From is the server that led before.
	From string `json:"from"`
	// To is the new leader.
	To string `json:"to"`
	// At is when the new leader was first observed.
	At metav1.Time `json:"at"`
	// Took is the time from the request until the new leader was observed.
	Took metav1.Duration `json:"took"`
}
