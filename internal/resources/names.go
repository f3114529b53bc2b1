// Package resources builds the Kubernetes objects of a cluster. Builders are pure: the same cluster always yields the same
// objects.
package resources

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Ports of a Consul server.
const (
	PortHTTP    = 8500
	PortDNS     = 8600
	PortGRPCTLS = 8503
	PortServer  = 8300
	PortSerfLAN = 8301
)

// ServerName returns the name of the server with this serial, which is also the name of its claim and its pod.
func ServerName(cluster string, serial int) string { return fmt.Sprintf("%s-%d", cluster, serial) }

// Serials is how many serials a cluster has, from 0 on. A higher number is none that the operator has given.
const Serials = 1_000_000

// Serial returns the serial in a server's name; false if the operator gives no server of this cluster such a name.
func Serial(cluster, server string) (int, bool) {
	digits, ok := strings.CutPrefix(server, cluster+"-")
	if !ok {
		return 0, false
	}
	serial, err := strconv.Atoi(digits)
	if err != nil || serial < 0 || serial >= Serials || strconv.Itoa(serial) != digits { // not 07, nor +7
		return 0, false
	}
	return serial, true
}

// NodeID returns the Raft and node ID of a server: a UUIDv5 of the cluster's Identity and the server's name. So a Raft peer can
// be matched to its server without asking it, and a server created twice is the same server.
func NodeID(cluster types.UID, server string) string {
	space, err := uuid.Parse(string(cluster))
	if err != nil { // never with a real API server
		space = uuid.NewSHA1(uuid.NameSpaceOID, []byte(cluster))
	}
	return uuid.NewSHA1(space, []byte(server)).String()
}

// Identity returns the space of the ids of a cluster's servers: its UID, or that of the cluster whose volumes it has taken over.
// The data on them has those ids.
func Identity(c *v1alpha1.ConsulCluster) types.UID {
	if of := c.Annotations[v1alpha1.AnnotationIdentity]; of != "" && c.Annotations[v1alpha1.AnnotationRecordsOf] == string(c.UID) {
		return types.UID(of)
	}
	if adopted := c.Status.Adopted; adopted != nil && adopted.By == string(c.UID) { // records are lost with `kubectl replace`
		return types.UID(adopted.Identity)
	}
	return c.UID
}

// IdentityOf returns that of the cluster that has a volume claim. An older operator has not written it down.
func IdentityOf(claim *corev1.PersistentVolumeClaim) types.UID {
	return types.UID(cmp.Or(claim.Annotations[v1alpha1.AnnotationIdentity], claim.Labels[v1alpha1.LabelClusterUID]))
}

// ClientServiceName returns the name of the Service for clients.
func ClientServiceName(cluster string) string { return cluster }

// JoinServiceName returns the name of the headless Service through which servers and client agents join.
func JoinServiceName(cluster string) string { return cluster + "-join" }

// DisruptionBudgetName returns the name of the PodDisruptionBudget of the servers.
func DisruptionBudgetName(cluster string) string { return cluster }

// labelInstance is a label by which Argo CD may track what belongs to an application: it deletes an object that has it, no owner
// and no manifest in Git. So claims do not have it.
const labelInstance = "app.kubernetes.io/instance"

// Labels returns the labels of all objects that belong to a cluster. Claims lack the one of the instance.
func Labels(c *v1alpha1.ConsulCluster) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":       "consul",
		labelInstance:                  c.Name,
		"app.kubernetes.io/managed-by": "consul-operator",
		v1alpha1.LabelCluster:          c.Name,
		v1alpha1.LabelClusterUID:       string(c.UID),
	}
}

// Selector returns the labels that select the servers' pods.
func Selector(c *v1alpha1.ConsulCluster) map[string]string {
	return map[string]string{v1alpha1.LabelCluster: c.Name, "app.kubernetes.io/component": "server"}
}

func meta(c *v1alpha1.ConsulCluster, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: c.Namespace, Labels: Labels(c),
		OwnerReferences: []metav1.OwnerReference{ownerReference(c)},
	}
}

func ownerReference(c *v1alpha1.ConsulCluster) metav1.OwnerReference {
	return *metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind("ConsulCluster"))
}

// HasOwnStatus reports whether the status is that of this cluster: a backup may restore that of another one.
func HasOwnStatus(c *v1alpha1.ConsulCluster) bool {
	return !slices.ContainsFunc(c.Status.Servers, func(s v1alpha1.ServerStatus) bool {
		return s.ID != "" && s.ID != NodeID(Identity(c), s.Name)
	})
}
