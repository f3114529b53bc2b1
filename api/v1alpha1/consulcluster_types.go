package v1alpha1

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConsulCluster is a cluster of Consul servers: one Raft group in one datacenter.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=consul;cc,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.ready`,description="servers in the client Service / wanted"
// +kubebuilder:printcolumn:name="Leader",type=string,JSONPath=`.status.leader`,description="the server that leads"
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`,description="lowest version among the servers"
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="what the operator is doing"
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="and why"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Voters",type=integer,JSONPath=`.status.voters`,priority=1
// +kubebuilder:printcolumn:name="Tolerance",type=integer,JSONPath=`.status.failureTolerance`,priority=1,description="healthy voters that may fail before quorum is lost"
// +kubebuilder:printcolumn:name="Term",type=integer,JSONPath=`.status.term`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name: at most 40 characters, since servers and Services are named after it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: has to be a DNS label that begins with a letter, since Services are named after it"
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

// ConsulClusterSpec is what the user wants.
type ConsulClusterSpec struct {
	// Replicas is the number of voters: 1, 3, 5 or 7. An even number adds a server and no failure tolerance.
	//
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=7
	// +kubebuilder:validation:XValidation:rule="self % 2 == 1",message="replicas has to be odd (1, 3, 5 or 7): an even number of voters tolerates no more failures than one less"
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// Version of Consul, such as 1.22.7. Changing it upgrades the servers, one graceful handoff of leadership in all.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+[.][0-9]+[.][0-9]+([-+][0-9A-Za-z][0-9A-Za-z.-]*)*$')",message="version has to be a full version such as 1.22.7"
	// +required
	Version string `json:"version"`

	// Image of the servers; hashicorp/consul:<version> by default.
	//
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Image string `json:"image,omitempty"`

	// Datacenter is Consul's name of this cluster; it cannot change.
	//
	// +kubebuilder:default=dc1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9_-]+$')",message="datacenter may hold lower-case letters, digits, - and _"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="datacenter cannot change: Consul writes it into all its data; create another cluster"
	// +optional
	Datacenter string `json:"datacenter,omitempty"`

	// Storage of each server.
	//
	// +kubebuilder:default={}
	// +optional
	Storage Storage `json:"storage,omitempty"`

	// Config is Consul agent configuration (https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file),
	// merged over the operator's. The keys that the operator owns are refused by name.
	//
	// +optional
	Config *Config `json:"config,omitempty"`

	// Update says how a rolling upgrade goes.
	//
	// +kubebuilder:default={}
	// +optional
	Update Update `json:"update,omitempty"`

	// FailureReplacement says when a server that is not healthy any more is given up, and another one takes its place.
	//
	// +kubebuilder:default={}
	// +optional
	FailureReplacement FailureReplacement `json:"failureReplacement,omitempty"`

	// Recovery says what is done when so many voters are lost for good that no leader can be elected any more.
	//
	// +kubebuilder:default={}
	// +optional
	Recovery Recovery `json:"recovery,omitempty"`

	// Paused stops every voluntary change; servers that crash still come back and the status stays true.
	//
	// +optional
	Paused bool `json:"paused,omitempty"`

	// PodTemplate adds to the servers' pods.
	//
	// +kubebuilder:default={}
	// +optional
	PodTemplate PodTemplate `json:"podTemplate,omitempty"`
}

// Storage is the volume claim of each server.
//
// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",message="storageClassName cannot change: create another cluster",fieldPath=".storageClassName"
type Storage struct {
	// Size of the volume. It can grow where the storage class allows it, never shrink.
	//
	// +kubebuilder:default="10Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('0')) > 0",message="size has to be more than 0"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",message="size cannot shrink: volumes only grow"
	// +optional
	Size resource.Quantity `json:"size,omitempty"`

	// StorageClassName of the claims; the cluster's default class if unset.
	//
	// +kubebuilder:validation:MaxLength=253
	// +optional
	StorageClassName *string `json:"storageClassName,omitempty"`

	// Retention of the volumes of servers that were replaced, and of all when the ConsulCluster is deleted.
	//
	// +kubebuilder:validation:Enum=Delete;Retain
	// +kubebuilder:default=Delete
	// +optional
	Retention Retention `json:"retention,omitempty"`
}

// Retention says what becomes of a volume claim that no server needs any more.
type Retention string

// What becomes of the volume claim of a server that is gone.
const (
	RetentionDelete Retention = "Delete"
	RetentionRetain Retention = "Retain"
)

// Update says how a rolling upgrade goes.
type Update struct {
	// Type of the upgrade. Surge adds a server of the new revision before an old one goes: there is never a voter less
	// than replicas. InPlace is for those who have no room for one more: one server at a time leaves and comes back on
	// its volume. Meanwhile there is one voter less, and three servers tolerate no failure; a single server is not there
	// for some seconds. Servers that fail or whose node is drained are replaced by others all the same.
	//
	// +kubebuilder:validation:Enum=Surge;InPlace
	// +kubebuilder:default=Surge
	// +optional
	Type UpdateType `json:"type,omitempty"`

	// MaxSurge is how many servers there may be beyond replicas while servers are replaced. With type InPlace that is
	// where one has failed or its node is drained.
	//
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=7
	// +optional
	MaxSurge int32 `json:"maxSurge,omitempty"`

	// LeaderStableFor is how long the same leader must have led before the next voluntary step.
	//
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="leaderStableFor has to be between 0s and 1h"
	// +optional
	LeaderStableFor *metav1.Duration `json:"leaderStableFor,omitempty"`
}

// UpdateType says whether an upgrade adds servers.
type UpdateType string

// The types of upgrades.
const (
	UpdateSurge   UpdateType = "Surge"
	UpdateInPlace UpdateType = "InPlace"
)

// FailureReplacement says when a server is given up. Its volume is kept and labeled consuloperator.io/retired=failed.
type FailureReplacement struct {
	// After is how long a voter may be unhealthy before another server takes its place; 0s for ever.
	//
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration('0s') || duration(self) >= duration('10s') && duration(self) <= duration('168h')",message="after has to be 0s (never) or between 10s and 168h"
	// +optional
	After *metav1.Duration `json:"after,omitempty"`

	// MaxPerHour is how many servers are given up in an hour: when servers fail again and again, it is not for them.
	//
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	MaxPerHour int32 `json:"maxPerHour,omitempty"`
}

// Recovery from the loss of the quorum: the server with the newest data carries on alone, and others are added to it.
type Recovery struct {
	// Mode: Manual waits for a person to accept the loss by the annotation consuloperator.io/accept-loss-of, whose value
	// the Stalled condition gives. Automatic needs nobody where the volume claim of each lost server is gone.
	//
	// +kubebuilder:validation:Enum=Manual;Automatic
	// +kubebuilder:default=Manual
	// +optional
	Mode RecoveryMode `json:"mode,omitempty"`

	// After is how long Automatic waits once the quorum is known to be lost for good.
	//
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="after has to be between 0s and 168h"
	// +optional
	After *metav1.Duration `json:"after,omitempty"`
}

// Defaults, as the API server fills them in. Durations are pointers: a Go client that leaves one out must not ask for 0s.
const (
	DefaultLeaderStableFor = 10 * time.Second
	DefaultReplaceAfter    = 5 * time.Minute
	DefaultRecoverAfter    = 5 * time.Minute
)

// RecoveryMode says who decides that a lost quorum is recovered.
type RecoveryMode string

// Who decides that a lost quorum is recovered.
const (
	RecoveryManual    RecoveryMode = "Manual"
	RecoveryAutomatic RecoveryMode = "Automatic"
)

// PodTemplate adds to the servers' pods. What it leaves out stays as the operator renders it.
type PodTemplate struct {
	// Metadata added to each pod. Keys under consuloperator.io are the operator's.
	//
	// +optional
	Metadata PodMetadata `json:"metadata,omitempty"`

	// Resources of the Consul container.
	//
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

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

	// TopologySpreadConstraints of the pods. By default servers spread over zones, softly.
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

	// Env adds to the environment of the Consul container; as in a Pod.
	//
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`

	// VolumeMounts adds to the mounts of the Consul container.
	//
	// +listType=atomic
	// +optional
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`

	// Volumes adds to the volumes of the pods; as in a Pod.
	//
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Volumes []corev1.Volume `json:"volumes,omitempty"`

	// Containers run beside Consul; as in a Pod.
	//
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Containers []corev1.Container `json:"containers,omitempty"`

	// InitContainers run before Consul; as in a Pod.
	//
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
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
