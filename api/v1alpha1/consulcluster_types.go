package v1alpha1

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConsulCluster is a cluster of Consul servers: one Raft group in one datacenter.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=consul;cc
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.ready`,description="servers in the client Service / wanted servers"
// +kubebuilder:printcolumn:name="Leader",type=string,JSONPath=`.status.leader`,description="the Raft leader"
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`,description="lowest Consul version that a server runs"
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="what the operator is doing or waiting for"
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="details of the status"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Voters",type=integer,JSONPath=`.status.voters`,priority=1
// +kubebuilder:printcolumn:name="Tolerance",type=integer,JSONPath=`.status.failureTolerance`,priority=1,description="healthy voters that can fail before the quorum is lost"
// +kubebuilder:printcolumn:name="Term",type=integer,JSONPath=`.status.term`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name: at most 40 characters, since servers and Services are named after it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must be a DNS label that begins with a letter, since Services are named after it"
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || !self.metadata.name.endsWith('-join')",message="metadata.name: must not end in -join, since a Service of another cluster may be called so",optionalOldSelf=true
type ConsulCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec   ConsulClusterSpec   `json:"spec"`
	Status ConsulClusterStatus `json:"status,omitempty"`
}

// ConsulClusterList is a list of ConsulClusters.
//
// +kubebuilder:object:root=true
type ConsulClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ConsulCluster `json:"items"`
}

// ConsulClusterSpec is the desired state of a ConsulCluster.
//
// +kubebuilder:validation:XValidation:rule="!has(self.update) || !has(self.update.snapshotFirst) || !self.update.snapshotFirst || has(self.snapshots) && has(self.snapshots.destination)",message="update.snapshotFirst: true needs snapshots.destination",fieldPath=".update.snapshotFirst"
type ConsulClusterSpec struct {
	// Replicas is the number of voters: 1, 3, 5 or 7. An even number would add a server but no failure tolerance.
	//
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=7
	// +kubebuilder:validation:XValidation:rule="self % 2 == 1",message="replicas must be odd (1, 3, 5 or 7): an even number of voters tolerates no more failures than one voter fewer"
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// Version of Consul, such as 1.22.7. Changing it upgrades the servers, with one graceful leadership handoff in total.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+[.][0-9]+[.][0-9]+([-+][0-9A-Za-z][0-9A-Za-z.-]*)*$')",message="version must be a full version such as 1.22.7"
	// +required
	Version string `json:"version"`

	// Image of the servers. Defaults to hashicorp/consul:<version>.
	//
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Image string `json:"image,omitempty"`

	// Datacenter is the name of this cluster's Consul datacenter. It cannot change.
	//
	// +kubebuilder:default=dc1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9_-]+$')",message="datacenter may contain lower-case letters, digits, - and _"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="datacenter cannot change, because Consul writes it into all its data: create another cluster"
	// +optional
	Datacenter string `json:"datacenter,omitempty"`

	// Storage of each server.
	//
	// +kubebuilder:default={}
	// +optional
	Storage Storage `json:"storage,omitempty"`

	// Config is Consul agent configuration (https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file),
	// merged over the operator's defaults. Keys that the operator owns are rejected with a message that names them.
	//
	// +optional
	Config *Config `json:"config,omitempty"`

	// ConfigFrom names Secrets that hold more of the configuration: what is secret, such as the token of another system. Each is a
	// JSON object, merged over config and over those before it. What they hold is a part of the servers like the rest of the
	// spec, so a change of it is a rolling update. It is noticed within five minutes.
	//
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	// +optional
	ConfigFrom []ConfigSource `json:"configFrom,omitempty"`

	// GossipEncryption encrypts gossip (Serf) between servers and client agents. The key is in the Secret
	// NAME-gossip-encryption-key, which the operator creates.
	//
	// +optional
	GossipEncryption GossipEncryption `json:"gossipEncryption,omitzero"`

	// TLS encrypts RPC between servers, and their HTTP API. The operator creates a certificate authority for the cluster, and
	// renews the servers' certificate without a restart. Clients find the authority's certificate in the Secret NAME-ca-cert.
	//
	// +optional
	TLS TLS `json:"tls,omitzero"`

	// ACLs restrict what clients may do in Consul, by tokens.
	//
	// +optional
	ACLs ACLs `json:"acls,omitzero"`

	// NetworkPolicy restricts who reaches the servers.
	//
	// +optional
	NetworkPolicy NetworkPolicy `json:"networkPolicy,omitzero"`

	// Metrics configures what Prometheus reads from the servers.
	//
	// +optional
	Metrics Metrics `json:"metrics,omitzero"`

	// Bootstrap says what a new cluster begins with. It has no effect on a cluster that had a leader.
	//
	// +optional
	Bootstrap Bootstrap `json:"bootstrap,omitzero"`

	// Snapshots configures where snapshots of the cluster are kept, and how they are encrypted.
	//
	// +optional
	Snapshots Snapshots `json:"snapshots,omitzero"`

	// Update configures rolling upgrades.
	//
	// +kubebuilder:default={}
	// +optional
	Update Update `json:"update,omitempty"`

	// FailureReplacement configures when an unhealthy server is given up and replaced.
	//
	// +kubebuilder:default={}
	// +optional
	FailureReplacement FailureReplacement `json:"failureReplacement,omitempty"`

	// Recovery configures what happens when so many voters are permanently lost that no leader can be elected.
	//
	// +kubebuilder:default={}
	// +optional
	Recovery Recovery `json:"recovery,omitempty"`

	// Paused stops every voluntary change. Crashed servers still restart, and the status stays up to date.
	//
	// +optional
	Paused bool `json:"paused,omitempty"`

	// DeletionProtection makes the API server refuse to delete the ConsulCluster until it is false again. It works only where
	// the operator's admission policies are installed, and does not protect from deleting the namespace, the CRD or volume
	// claims.
	//
	// +optional
	DeletionProtection bool `json:"deletionProtection,omitempty"`

	// PodTemplate customizes the servers' pods.
	//
	// +kubebuilder:default={}
	// +optional
	PodTemplate PodTemplate `json:"podTemplate,omitempty"`

	// Malformed names the first field whose value does not fit its type, and says why; empty if there is none. Fields that do
	// not fit are zero.
	Malformed string `json:"-"`

	// Raw is a malformed spec as the user wrote it. While Malformed is set, it is what is written, whatever the fields say.
	Raw json.RawMessage `json:"-"`
}

// Storage is the volume claim of each server.
//
// +kubebuilder:validation:XValidation:rule="!has(self.autoGrow) || !has(self.size) || quantity(string(self.autoGrow.limit)).compareTo(quantity(string(self.size))) >= 0",message="autoGrow.limit must not be less than size",fieldPath=".autoGrow.limit"
type Storage struct {
	// Size of the volume. A larger one lets volumes grow, if the storage class allows it. A smaller one replaces servers, one after
	// the other, by others with such volumes: the data has to fit. A volume that somebody else has grown is left alone.
	//
	// +kubebuilder:default="10Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('0')) > 0",message="size must be greater than 0"
	// +optional
	Size resource.Quantity `json:"size,omitempty"`

	// StorageClassName of the claims. Defaults to the default storage class of the Kubernetes cluster. Another one replaces servers,
	// one after the other, by others with volumes of that class. Leaving it out again changes nothing.
	//
	// +kubebuilder:validation:MaxLength=253
	// +optional
	StorageClassName *string `json:"storageClassName,omitempty"`

	// AutoGrow lets volumes grow by themselves before they are full: by a quarter of their size when 80 % are used, if the storage
	// class allows it. If omitted, the condition VolumeSpace says that they fill up, and a person raises size.
	//
	// +optional
	AutoGrow *AutoGrow `json:"autoGrow,omitempty"`

	// Retention is what happens to the volumes of replaced servers, and to all volumes when the ConsulCluster is deleted. A
	// change to Retain protects the volumes once status.volumesRetained is true.
	//
	// +kubebuilder:validation:Enum=Delete;Retain
	// +kubebuilder:default=Delete
	// +optional
	Retention Retention `json:"retention,omitempty"`
}

// AutoGrow lets volumes grow by themselves.
type AutoGrow struct {
	// Limit is the size beyond which no volume grows.
	Limit resource.Quantity `json:"limit"`
}

// Retention is what happens to a volume claim that no server needs any more.
type Retention string

// What happens to the volume claim of a server that is gone.
const (
	RetentionDelete Retention = "Delete"
	RetentionRetain Retention = "Retain"
)

// Update configures rolling upgrades.
type Update struct {
	// Type of the upgrade. Surge adds a server with the new revision before it removes an old one: the number of voters
	// never drops below replicas. InPlace needs no capacity for an extra server: one server at a time leaves and comes
	// back on its volume. Meanwhile there is one voter fewer, and three servers tolerate no failure; a single server is
	// unavailable for some seconds. With either type, a failed server or one on a draining node is replaced by a new one.
	//
	// +kubebuilder:validation:Enum=Surge;InPlace
	// +kubebuilder:default=Surge
	// +optional
	Type UpdateType `json:"type,omitempty"`

	// MaxSurge is the maximum number of servers beyond replicas while servers are replaced. With InPlace, extra servers
	// are created only to replace a failed server or one on a draining node.
	//
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=7
	// +optional
	MaxSurge int32 `json:"maxSurge,omitempty"`

	// SnapshotFirst takes a snapshot before servers get another version, and the upgrade waits until it is verified. Defaults to
	// true if snapshots.destination is set. The annotation consuloperator.io/skip-snapshot=VERSION upgrades without one.
	//
	// +optional
	SnapshotFirst *bool `json:"snapshotFirst,omitempty"`

	// LeaderStableFor is how long the current leader must have led before the next voluntary step.
	//
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="leaderStableFor must be between 0s and 1h"
	// +optional
	LeaderStableFor *metav1.Duration `json:"leaderStableFor,omitempty"`
}

// UpdateType is whether an upgrade adds new servers or updates the existing ones in place.
type UpdateType string

// Update types.
const (
	UpdateSurge   UpdateType = "Surge"
	UpdateInPlace UpdateType = "InPlace"
)

// FailureReplacement configures when a server is given up. Its volume is kept and labeled consuloperator.io/retired=failed.
type FailureReplacement struct {
	// After is how long a voter may be unhealthy before it is replaced; 0s disables replacement.
	//
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration('0s') || duration(self) >= duration('10s') && duration(self) <= duration('168h')",message="after must be 0s (never) or between 10s and 168h"
	// +optional
	After *metav1.Duration `json:"after,omitempty"`

	// MaxPerHour limits replacements per hour: repeated failures usually have a cause that replacing servers does not fix.
	// Besides, no server is given up while 5 volumes of failed servers are kept: delete the claims that you do not need.
	//
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	MaxPerHour int32 `json:"maxPerHour,omitempty"`
}

// Recovery configures the recovery of a lost quorum: the server with the newest data continues as the only voter, and
// others are added to it.
type Recovery struct {
	// Mode of recovery. Manual waits until somebody accepts the loss with the annotation consuloperator.io/accept-loss-of;
	// the Stalled condition shows the value. Automatic needs no confirmation if the volume claims of all lost servers are
	// gone.
	//
	// +kubebuilder:validation:Enum=Manual;Automatic
	// +kubebuilder:default=Manual
	// +optional
	Mode RecoveryMode `json:"mode,omitempty"`

	// After is how long Automatic waits once the quorum is known to be permanently lost.
	//
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="after must be between 0s and 168h"
	// +optional
	After *metav1.Duration `json:"after,omitempty"`
}

// Defaults, as the API server sets them. Durations are pointers so that a Go client that omits one does not send 0s.
const (
	DefaultLeaderStableFor = 10 * time.Second
	DefaultReplaceAfter    = 5 * time.Minute
	DefaultRecoverAfter    = 5 * time.Minute
	DefaultCAGracePeriod   = 24 * time.Hour
)

// RecoveryMode is who decides that a lost quorum is recovered.
type RecoveryMode string

// Recovery modes.
const (
	RecoveryManual    RecoveryMode = "Manual"
	RecoveryAutomatic RecoveryMode = "Automatic"
)

// PodTemplate customizes the servers' pods. Everything it omits stays as the operator renders it.
type PodTemplate struct {
	// Metadata added to each pod. Keys under consuloperator.io are reserved for the operator.
	//
	// +optional
	Metadata PodMetadata `json:"metadata,omitempty"`

	// Resources of the Consul container. A pod that requests nothing is among the first to be evicted when
	// its node runs out of memory.
	//
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// SecurityContext of the pods, instead of the operator's, which runs them as user 100 and group 1000 and meets the
	// restricted Pod Security Standard. Set it to {} where the platform assigns users, as OpenShift does. The format is that of
	// a Pod.
	//
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +optional
	SecurityContext *corev1.PodSecurityContext `json:"securityContext,omitempty"`

	// NodeSelector of the pods.
	//
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// Affinity of the pods. By default servers prefer different nodes.
	//
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// Tolerations of the pods.
	//
	// +listType=atomic
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// TopologySpreadConstraints of the pods. By default servers prefer different zones.
	//
	// +listType=atomic
	// +optional
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// PriorityClassName of the pods.
	//
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// ImagePullSecrets of the pods.
	//
	// +listType=atomic
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// Env is added to the environment of the Consul container. The format is that of a Pod.
	//
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=array
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`

	// VolumeMounts are added to the mounts of the Consul container.
	//
	// +listType=atomic
	// +optional
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`

	// Volumes are added to the volumes of the pods. The format is that of a Pod.
	//
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=array
	// +optional
	Volumes []corev1.Volume `json:"volumes,omitempty"`

	// Containers run next to Consul. The format is that of a Pod. One that ends with code 0 is not started again, and its server
	// is not ready any more: the restartPolicy of the pods is OnFailure, so that a server that has left stays away. One without a
	// securityContext gets what the restricted Pod Security Standard asks of it.
	//
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=array
	// +optional
	Containers []corev1.Container `json:"containers,omitempty"`

	// InitContainers run before Consul. The format is that of a Pod. One without a securityContext gets what the restricted Pod
	// Security Standard asks of it.
	//
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=array
	// +optional
	InitContainers []corev1.Container `json:"initContainers,omitempty"`
}

// PodMetadata is metadata added to each pod.
type PodMetadata struct {
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}
