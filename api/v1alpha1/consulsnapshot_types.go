package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConsulSnapshot is one snapshot of a cluster. It is taken once. Deleting the ConsulSnapshot leaves the object in the store
// alone.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=csnap
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.clusterName`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="what the operator is doing or waiting for"
// +kubebuilder:printcolumn:name="Index",type=integer,JSONPath=`.status.index`,description="the last Raft index in it"
// +kubebuilder:printcolumn:name="Size",type=string,JSONPath=`.status.size`
// +kubebuilder:printcolumn:name="Verified",type=string,JSONPath=`.status.verified`
// +kubebuilder:printcolumn:name="Completed",type=date,JSONPath=`.status.completedAt`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Object",type=string,JSONPath=`.status.object`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 57",message="metadata.name: at most 57 characters, since a Job is named after it"
type ConsulSnapshot struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a snapshot is taken once: create another ConsulSnapshot"
	Spec   ConsulSnapshotSpec   `json:"spec"`
	Status ConsulSnapshotStatus `json:"status,omitempty"`
}

// ConsulSnapshotList is a list of ConsulSnapshots.
//
// +kubebuilder:object:root=true
type ConsulSnapshotList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ConsulSnapshot `json:"items"`
}

// ConsulSnapshotSpec says which snapshot is taken.
type ConsulSnapshotSpec struct {
	// ClusterName is the name of the ConsulCluster, in the same namespace. It says in spec.snapshots where its snapshots go.
	//
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	ClusterName string `json:"clusterName"`

	// Verify is how much is done to know that the snapshot can be restored: Archive checks all sums and records, and reads the
	// stored object back; Restore also restores it into a server that nobody else reaches.
	//
	// +kubebuilder:default=Archive
	// +optional
	Verify SnapshotVerification `json:"verify,omitempty"`

	// Within is how long its Job may take, from status.startedAt on. Then the snapshot has failed.
	//
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="within must be between 1m and 24h"
	// +optional
	Within *metav1.Duration `json:"within,omitempty"`
}

// ConsulSnapshotStatus says what became of it.
type ConsulSnapshotStatus struct {
	// Conditions are Ready, Reconciling and Stalled, with the meaning kstatus gives them. Ready is True when the snapshot is in the
	// store and verified. Stalled is True when it could not be taken: it is not tried again.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation of the spec that this status describes.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// StartedAt is when its Job was created.
	//
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// CompletedAt is when it was stored and verified, or when that had failed.
	//
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`

	// Store is where it is: s3://BUCKET, ENDPOINT/BUCKET, or pvc://CLAIM.
	//
	// +optional
	Store string `json:"store,omitempty"`

	// Object is its name in the store.
	//
	// +optional
	Object string `json:"object,omitempty"`

	// Encrypted is whether the object is encrypted.
	//
	// +optional
	Encrypted bool `json:"encrypted,omitempty"`

	// Index is the last Raft index in it.
	//
	// +optional
	Index int64 `json:"index,omitempty"`

	// Term is the Raft term of that index.
	//
	// +optional
	Term int64 `json:"term,omitempty"`

	// Size of the object in the store, such as 13Mi, rounded up.
	//
	// +optional
	Size string `json:"size,omitempty"`

	// Bytes is the exact size of the object.
	//
	// +optional
	Bytes int64 `json:"bytes,omitempty"`

	// SHA256 of the object, in hexadecimal.
	//
	// +optional
	SHA256 string `json:"sha256,omitempty"`

	// Version is the highest Consul version that a server ran when it was saved.
	//
	// +optional
	Version string `json:"version,omitempty"`

	// Datacenter of the cluster that it is of.
	//
	// +optional
	Datacenter string `json:"datacenter,omitempty"`

	// Keys is the number of keys of the KV store in it.
	//
	// +optional
	Keys int64 `json:"keys,omitempty"`

	// Verified is how it was verified.
	//
	// +optional
	Verified SnapshotVerification `json:"verified,omitempty"`
}

// DefaultSnapshotWithin is how long a snapshot is tried, as the API server sets it.
const DefaultSnapshotWithin = time.Hour
