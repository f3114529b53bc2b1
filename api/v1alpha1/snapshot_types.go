package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// Snapshots configures where snapshots of a cluster are kept, and how they are encrypted. They are taken by ConsulSnapshots and
// ConsulSnapshotSchedules, in the pod of a Job.
//
// +kubebuilder:validation:XValidation:rule="!has(self.destination) || has(self.encryption)",message="encryption must be set: a snapshot holds all ACL tokens and the keys of the service mesh in clear. Set recipients or passphraseSecretRef, or disabled: true if the store encrypts",fieldPath=".encryption"
type Snapshots struct {
	// Destination is where snapshots are kept. Without one, none can be taken.
	//
	// +optional
	Destination *SnapshotDestination `json:"destination,omitempty"`

	// Encryption says how snapshots are encrypted before they leave the Job's pod. Required if there is a destination.
	//
	// +optional
	Encryption *SnapshotEncryption `json:"encryption,omitempty"`

	// ServiceAccountAnnotations are annotations of the Jobs' ServiceAccount, NAME-snapshots, by which a cloud gives their pods an
	// identity, such as eks.amazonaws.com/role-arn.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	ServiceAccountAnnotations map[string]string `json:"serviceAccountAnnotations,omitempty"`

	// Resources of the Jobs' containers. They need 100 MiB, however large the snapshot is.
	//
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// VerifyResources are those of the container that restores a snapshot for a test (verify: Restore). It needs what a server
	// needs.
	//
	// +optional
	VerifyResources corev1.ResourceRequirements `json:"verifyResources,omitempty"`

	// ImagePullSecrets for the operator's image, which the Jobs run. Those of podTemplate are used as well.
	//
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
}

// SnapshotDestination is a bucket or a volume claim.
//
// +kubebuilder:validation:XValidation:rule="has(self.s3) != has(self.volumeClaim)",message="set either s3 or volumeClaim"
type SnapshotDestination struct {
	// S3 is a bucket of Amazon S3, or of an object store that speaks its API.
	//
	// +optional
	S3 *S3Destination `json:"s3,omitempty"`

	// VolumeClaim is a volume claim of the namespace. Jobs write to it as user 65532, one at a time, so ReadWriteOnce is enough.
	//
	// +optional
	VolumeClaim *VolumeClaimDestination `json:"volumeClaim,omitempty"`
}

// S3Destination is a bucket.
type S3Destination struct {
	// Bucket is the name of the bucket. It has to exist.
	//
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9][-.a-z0-9]*[a-z0-9]$`
	Bucket string `json:"bucket"`

	// Prefix of the names of all objects, such as backups/production. Objects are named PREFIX/NAMESPACE/CLUSTER/SNAPSHOT-ID.snap,
	// and .snap.age if they are encrypted.
	//
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[-_.a-zA-Z0-9]+(/[-_.a-zA-Z0-9]+)*$`
	// +kubebuilder:validation:XValidation:rule="!self.split('/').exists(part, part == '.' || part == '..')",message="prefix must not contain . or .."
	// +optional
	Prefix string `json:"prefix,omitempty"`

	// Region of the bucket.
	//
	// +kubebuilder:default=us-east-1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[-a-zA-Z0-9]+$`
	// +optional
	Region string `json:"region,omitempty"`

	// Endpoint is the URL of an object store that is not Amazon's, such as https://minio.storage.svc:9000.
	//
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[^\s/?#@]+$`
	// +optional
	Endpoint string `json:"endpoint,omitempty"`

	// PathStyle puts the bucket into the path of an address and not into its host, as most object stores but Amazon's need.
	//
	// +optional
	PathStyle bool `json:"pathStyle,omitempty"`

	// CredentialsSecretRef names a Secret with the keys accessKeyId, secretAccessKey and, if there is one, sessionToken. If omitted,
	// the cloud has to give the pods an identity.
	//
	// +optional
	CredentialsSecretRef *SecretName `json:"credentialsSecretRef,omitempty"`

	// CASecretRef names a Secret with the certificates, in the key ca.crt, of the authorities that sign the endpoint's. Defaults to
	// the public ones.
	//
	// +optional
	CASecretRef *SecretName `json:"caSecretRef,omitempty"`
}

// VolumeClaimDestination is a folder of a volume.
type VolumeClaimDestination struct {
	// Name of the volume claim. It has to exist.
	//
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`

	// Prefix of the names of all files, as that of a bucket.
	//
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[-_.a-zA-Z0-9]+(/[-_.a-zA-Z0-9]+)*$`
	// +kubebuilder:validation:XValidation:rule="!self.split('/').exists(part, part == '.' || part == '..')",message="prefix must not contain . or .."
	// +optional
	Prefix string `json:"prefix,omitempty"`
}

// SnapshotEncryption is how snapshots are encrypted, with age (https://age-encryption.org). Keep the key outside of the
// Kubernetes cluster as well: without it, no snapshot can be restored.
//
// +kubebuilder:validation:XValidation:rule="[has(self.recipients), has(self.passphraseSecretRef), has(self.disabled) && self.disabled].filter(is, is).size() == 1",message="set one of recipients, passphraseSecretRef and disabled: true"
// +kubebuilder:validation:XValidation:rule="!has(self.identitySecretRef) || has(self.recipients)",message="identitySecretRef needs recipients",fieldPath=".identitySecretRef"
type SnapshotEncryption struct {
	// Recipients are public keys, as `age-keygen` prints them (age1…). Any of their private keys decrypts.
	//
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=4096
	// +kubebuilder:validation:items:Pattern=`^age1[a-z0-9]+$`
	// +optional
	Recipients []string `json:"recipients,omitempty"`

	// IdentitySecretRef names the key of a Secret that holds private keys (AGE-SECRET-KEY-…), one a line. One of them has to match
	// one of the recipients. Restores need it, and snapshots with verify: Restore.
	//
	// +optional
	IdentitySecretRef *SecretKey `json:"identitySecretRef,omitempty"`

	// PassphraseSecretRef names the key of a Secret that holds a passphrase of at least 20 bytes: take random ones.
	//
	// +optional
	PassphraseSecretRef *SecretKey `json:"passphraseSecretRef,omitempty"`

	// Disabled stores snapshots unencrypted. Whoever can read the store then has all ACL tokens and the keys of the service mesh.
	//
	// +optional
	Disabled bool `json:"disabled,omitempty"`
}

// Bootstrap says what a new cluster begins with.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.fromSnapshot) && has(self.fromVolumes))",message="set either fromSnapshot or fromVolumes"
type Bootstrap struct {
	// FromSnapshot restores a snapshot before any client reaches the cluster. It is read before the first server is created. Without
	// it, a cluster begins empty.
	//
	// +optional
	FromSnapshot *SnapshotSource `json:"fromSnapshot,omitempty"`

	// FromVolumes takes over the volume claims, and the data on them, that a former ConsulCluster of this name left in the
	// namespace: because it was deleted with storage.retention: Retain, or because a backup has brought them back.
	//
	// +optional
	FromVolumes *FormerVolumes `json:"fromVolumes,omitempty"`
}

// FormerVolumes are the volume claims of a former ConsulCluster.
type FormerVolumes struct {
	// ClusterUID is its UID, which its claims have in the label consuloperator.io/cluster-uid. It is needed where there are claims
	// of more than one.
	//
	// +kubebuilder:validation:MaxLength=64
	// +optional
	ClusterUID string `json:"clusterUID,omitempty"`
}

// SnapshotVerification is how much is done to know that a snapshot can be restored.
//
// +kubebuilder:validation:Enum=Archive;Restore
type SnapshotVerification string

const (
	// VerifyArchive checks all sums and records in a snapshot while it is saved, and reads what is stored back.
	VerifyArchive SnapshotVerification = "Archive"
	// VerifyRestore also restores it into a server that nobody else reaches, and compares what that has.
	VerifyRestore SnapshotVerification = "Restore"
)
