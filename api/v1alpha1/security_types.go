package v1alpha1

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GossipEncryption configures the encryption of gossip.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.secretRef) && has(self.rotateEvery))",message="rotateEvery cannot be set beside secretRef: change the key in that Secret instead"
type GossipEncryption struct {
	// Enabled is whether servers encrypt gossip and accept only encrypted gossip. Changing it on a running cluster takes three
	// rolling updates, one for each phase: see status.gossipEncryption. If omitted, a new cluster is encrypted unless its
	// spec.config says how gossip is encrypted, and a running one stays as it is.
	//
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// SecretRef names the key of a Secret that holds the gossip key: 16, 24 or 32 bytes in base64, as `consul keygen` makes it. If
	// omitted, the operator makes one. When it changes in the Secret, the operator replaces the gossip key by it, without a
	// restart. It notices the change within five minutes.
	//
	// +optional
	SecretRef *SecretKey `json:"secretRef,omitempty"`

	// RotateEvery is the age at which the gossip key is replaced, without a restart. The operator may notice it ten hours late. If
	// omitted, the key is replaced only on request, by the annotation consuloperator.io/rotate-gossip-key.
	//
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="rotateEvery must be at least 1h"
	// +optional
	RotateEvery *metav1.Duration `json:"rotateEvery,omitempty"`
}

// TLS configures the certificates of the servers.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.certSecretRef) && has(self.caSecretRef))",message="caSecretRef cannot be set beside certSecretRef: that Secret says in ca.crt whom servers believe"
type TLS struct {
	// Enabled is whether servers prove who they are by certificates, to clients and to each other. They serve HTTPS on port
	// 8501, and take RPC only from those who have a certificate of the same authority. Changing it on a running cluster takes
	// a rolling update for each phase: see status.tls. If omitted, a new cluster has TLS unless its spec.config says
	// something of certificates or connects datacenters, and a running one stays as it is.
	//
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// HTTPSOnly closes the HTTP port 8500 but for 127.0.0.1, where kubectl port-forward and kubectl exec come from. Changing it is
	// a rolling update. If omitted, a new cluster with TLS serves HTTPS only, and a running one stays as it is: clients have to
	// be moved to port 8501 before.
	//
	// +optional
	HTTPSOnly *bool `json:"httpsOnly,omitempty"`

	// CASecretRef names a Secret that holds the certificate authority of the servers, in the keys tls.crt and tls.key, as
	// cert-manager makes it of a Certificate with isCA. If omitted, the operator makes one. When another one is in the Secret,
	// the operator replaces the authority by it, without a restart. It notices the change within five minutes, and replaces the
	// authority for no other reason. Whoever has the key of an authority can make themselves a server of all clusters that
	// share it.
	//
	// +optional
	CASecretRef *SecretName `json:"caSecretRef,omitempty"`

	// CertSecretRef names a Secret that holds the certificate of the servers, in the keys tls.crt and tls.key, and the authority
	// that has issued it, in ca.crt, as cert-manager makes it of a Certificate. It has to be for server.DATACENTER.DOMAIN, for
	// servers and for clients. If omitted, the operator issues certificates. When another one is in the Secret, servers read it,
	// without a restart; when another authority is in ca.crt, they go to it in the steps of a rotation. The operator notices the
	// change within five minutes. Whoever else has a certificate for that name of that authority can be a server.
	//
	// +optional
	CertSecretRef *SecretName `json:"certSecretRef,omitempty"`

	// CAGracePeriod is how long clients have to read another certificate authority from the Secret NAME-ca-cert before servers
	// present certificates of it. An authority that the operator has made is replaced after four of its five years, or on
	// request, by the annotation consuloperator.io/rotate-certificate-authority.
	//
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="caGracePeriod must be between 0s and 720h"
	// +optional
	CAGracePeriod *metav1.Duration `json:"caGracePeriod,omitempty"`

	// AdditionalDNSNames that clients use for the servers, such as that of a load balancer. They have no effect on a certificate
	// that comes from certSecretRef.
	//
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +optional
	AdditionalDNSNames []string `json:"additionalDNSNames,omitempty"`
}

// TLSPhase is a phase of TLS. Servers take RPC from each other if their phases are the same or next to each other in this order.
//
// +kubebuilder:validation:Enum=Off;Accepting;Sending;Required;HTTPSOnly
type TLSPhase string

// The phases of TLS, in order.
const (
	// TLSOff is a cluster without certificates.
	TLSOff TLSPhase = "Off"
	// TLSAccepting servers have certificates, and serve HTTPS beside HTTP. They call each other without TLS, and take RPC with and
	// without it.
	TLSAccepting TLSPhase = "Accepting"
	// TLSSending servers call each other by TLS, and take RPC with and without it.
	TLSSending TLSPhase = "Sending"
	// TLSRequired servers call each other by TLS, and take RPC from nobody who has no certificate.
	TLSRequired TLSPhase = "Required"
	// TLSHTTPSOnly servers do the same, and serve HTTP to nobody but themselves.
	TLSHTTPSOnly TLSPhase = "HTTPSOnly"
)

// NetworkPolicy restricts who reaches the servers, on networks that enforce NetworkPolicies.
type NetworkPolicy struct {
	// Enabled is whether the operator keeps a NetworkPolicy that lets in clients, agents, the servers and the operator only. If
	// omitted, a cluster with clients or agents has one, and so has a new one if the operator runs in a pod. Others stay as they
	// are.
	//
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// Clients reach the ports for HTTP, HTTPS, gRPC and DNS. If omitted, all pods of the namespace do. An empty list lets nobody
	// in.
	//
	// +optional
	Clients Peers `json:"clients,omitzero"`

	// Agents reach the ports for RPC and gossip, which servers have among themselves: client agents, and the servers of other
	// datacenters. If omitted, only the servers do.
	//
	// +optional
	Agents Peers `json:"agents,omitempty"`
}

// Peers are pods and addresses, as those in `from` of a NetworkPolicy.
//
// +listType=atomic
// +kubebuilder:validation:MaxItems=64
// +kubebuilder:validation:XValidation:rule="self.all(p, has(p.ipBlock) != (has(p.podSelector) || has(p.namespaceSelector)))",message="each entry must have either ipBlock, or podSelector, namespaceSelector or both ({} selects all)"
type Peers []networkingv1.NetworkPolicyPeer

// GossipPhase is a phase of gossip encryption. Servers hear each other if their phases are the same or next to each other in
// this order.
//
// +kubebuilder:validation:Enum=Off;Accepting;Sending;Required
type GossipPhase string

// The phases of gossip encryption, in order.
const (
	// GossipOff is a cluster without a key.
	GossipOff GossipPhase = "Off"
	// GossipAccepting servers have the key. They send unencrypted, and accept both.
	GossipAccepting GossipPhase = "Accepting"
	// GossipSending servers send encrypted, and accept both.
	GossipSending GossipPhase = "Sending"
	// GossipRequired servers send encrypted, and accept nothing else.
	GossipRequired GossipPhase = "Required"
)
