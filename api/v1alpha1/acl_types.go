package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ACLs configures who may do what in Consul.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.managementTokenSecretRef) && has(self.rotateEvery))",message="rotateEvery cannot be set beside managementTokenSecretRef: change the token in that Secret instead"
type ACLs struct {
	// Enabled is whether servers check ACL tokens. The management token is in the Secret NAME-bootstrap-acl-token, and the operator
	// makes tokens of least rights for itself and for the servers. Changing it on a running cluster takes a rolling update for each
	// phase: see status.acls. If omitted, a new cluster has ACLs unless its spec.config says something of them, and a running one
	// stays as it is.
	//
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// DefaultPolicy applies to requests that no ACL rule matches, such as those without a token. If omitted, a new cluster denies
	// them. A running cluster that enables ACLs allows them until this is deny, so that clients can be given tokens first.
	//
	// +optional
	DefaultPolicy ACLDefaultPolicy `json:"defaultPolicy,omitempty"`

	// ManagementTokenSecretRef names the key of a Secret that holds the management token, a UUID. If omitted, the operator
	// makes one. When the token in the Secret changes, the operator rotates all tokens to it, without a restart. It
	// notices the change within five minutes.
	//
	// +optional
	ManagementTokenSecretRef *SecretKey `json:"managementTokenSecretRef,omitempty"`

	// DNS lets those who have no token look up services and nodes, by DNS and by the API. Otherwise DNS finds nothing where requests
	// without a token are denied.
	//
	// +optional
	DNS bool `json:"dns,omitempty"`

	// RotateEvery is the age at which the operator replaces the ACL tokens that it made: the management token, its own and the
	// servers'. No server restarts. The former management token is revoked minutes later: read the new one from the Secret
	// NAME-bootstrap-acl-token. Tokens that you created stay valid. The operator may notice the age ten hours late. If omitted, they
	// are replaced only on request, by the annotation consuloperator.io/rotate-tokens.
	//
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('24h')",message="rotateEvery must be at least 24h"
	// +optional
	RotateEvery *metav1.Duration `json:"rotateEvery,omitempty"`
}

// SecretName names a Secret in the namespace of the cluster.
type SecretName struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// SecretKey is a key of a Secret in the namespace of the cluster.
type SecretKey struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`

	// Key in the Secret. If omitted, `token` for a token, `key` for a gossip key, an identity or a passphrase, and `config.json` for
	// configuration.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +optional
	Key string `json:"key,omitempty"`
}

// ACLDefaultPolicy is what servers do with requests that no ACL rule matches.
//
// +kubebuilder:validation:Enum=allow;deny
type ACLDefaultPolicy string

// The default policies.
const (
	ACLDefaultAllow ACLDefaultPolicy = "allow"
	ACLDefaultDeny  ACLDefaultPolicy = "deny"
)

// ACLPhase is a phase of ACLs. Servers of all phases take part in one cluster.
//
// +kubebuilder:validation:Enum=Off;Allow;Deny
type ACLPhase string

// The phases of ACLs, in order.
const (
	// ACLsOff is a cluster without ACLs.
	ACLsOff ACLPhase = "Off"
	// ACLsAllow servers check tokens, and allow requests that no rule matches.
	ACLsAllow ACLPhase = "Allow"
	// ACLsDeny servers check tokens, and deny requests that no rule matches.
	ACLsDeny ACLPhase = "Deny"
)
