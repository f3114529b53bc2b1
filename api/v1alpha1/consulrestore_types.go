package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConsulRestore replaces all data of a running cluster with a snapshot, once: KV store, ACL tokens, catalog, sessions, service
// mesh. What was written since the snapshot is lost. Unless skipSnapshot is set, the present data is saved to another snapshot
// first.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=crest
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.clusterName`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="what the operator is doing or waiting for"
// +kubebuilder:printcolumn:name="Object",type=string,JSONPath=`.status.object`
// +kubebuilder:printcolumn:name="Index",type=integer,JSONPath=`.status.index`
// +kubebuilder:printcolumn:name="Completed",type=date,JSONPath=`.status.completedAt`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 44",message="metadata.name: at most 44 characters, since Jobs are named after it"
type ConsulRestore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a restore happens once: create another ConsulRestore"
	Spec   ConsulRestoreSpec   `json:"spec"`
	Status ConsulRestoreStatus `json:"status,omitempty"`
}

// ConsulRestoreList is a list of ConsulRestores.
//
// +kubebuilder:object:root=true
type ConsulRestoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ConsulRestore `json:"items"`
}

// ConsulRestoreSpec says what is restored, and where.
type ConsulRestoreSpec struct {
	// ClusterName is the name of the ConsulCluster, in the same namespace.
	//
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	ClusterName string `json:"clusterName"`

	// From is the snapshot.
	From SnapshotSource `json:"from"`

	// SkipSnapshot restores without a snapshot of the present data, such as when the cluster cannot give one any more.
	//
	// +optional
	SkipSnapshot bool `json:"skipSnapshot,omitempty"`
}

// SnapshotSource names a snapshot.
//
// +kubebuilder:validation:XValidation:rule="has(self.snapshotName) != has(self.object)",message="set either snapshotName or object"
// +kubebuilder:validation:XValidation:rule="!has(self.sha256) || has(self.object)",message="sha256 needs object: of a snapshotName it is known",fieldPath=".sha256"
type SnapshotSource struct {
	// SnapshotName is the name of a ConsulSnapshot in the same namespace, which may be of another cluster that has the same
	// destination.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SnapshotName string `json:"snapshotName,omitempty"`

	// Object is the full name of an object in the destination of the cluster: PREFIX/NAMESPACE/CLUSTER/SNAPSHOT-ID.snap.age.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\s/]+(/[^\s/]+)*$`
	// +kubebuilder:validation:XValidation:rule="!self.split('/').exists(part, part == '.' || part == '..')",message="object must not contain . or .."
	// +optional
	Object string `json:"object,omitempty"`

	// SHA256 is the sum that the object has to have, in hexadecimal, as the status of its ConsulSnapshot has it. Set it where others
	// may write to the store: whoever can, and knows a public key, can put a snapshot there whose ACL tokens are theirs.
	//
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]+$`
	// +optional
	SHA256 string `json:"sha256,omitempty"`
}

// ConsulRestoreStatus says what became of it.
type ConsulRestoreStatus struct {
	// Conditions are Ready, Reconciling and Stalled, with the meaning kstatus gives them. Ready is True when the data was restored
	// and the cluster serves it. Stalled is True when it could not be restored: the message says whether anything was changed.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation of the spec that this status describes.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// SnapshotBefore is the name of the ConsulSnapshot that was taken first.
	//
	// +optional
	SnapshotBefore string `json:"snapshotBefore,omitempty"`

	// Object is the name of what is restored, in the store.
	//
	// +optional
	Object string `json:"object,omitempty"`

	// NextSerial is the first serial that no server in the snapshot has. Only a new cluster asks for it.
	//
	// +optional
	NextSerial int32 `json:"nextSerial,omitempty"`

	// PreparedAt is when everything was there that the restore needs. From then on it waits until nothing else changes in the
	// cluster.
	//
	// +optional
	PreparedAt *metav1.Time `json:"preparedAt,omitempty"`

	// Index is the last Raft index in the snapshot.
	//
	// +optional
	Index int64 `json:"index,omitempty"`

	// StartedAt is when its Job was created.
	//
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// RestoredAt is when Consul had restored the snapshot. What was acknowledged after that is kept.
	//
	// +optional
	RestoredAt *metav1.Time `json:"restoredAt,omitempty"`

	// DataUnknown is whether it ended in the middle, so that nobody knows what the servers have. The cluster changes nothing until
	// another ConsulRestore has succeeded, or this one is deleted.
	//
	// +optional
	DataUnknown bool `json:"dataUnknown,omitempty"`

	// CompletedAt is when the cluster was as it should be again, or when the restore had failed.
	//
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`
}
