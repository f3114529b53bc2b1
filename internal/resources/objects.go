package resources

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// ClientService sends clients, and people who open the UI, to the servers that serve.
func ClientService(c *v1alpha1.ConsulCluster) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: meta(c, ClientServiceName(c.Name)),
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeClusterIP,
			Selector: Selector(c),
			Ports:    clientPorts(c),
		},
	}
}

// JoinService is how servers find each other before they are ready.
func JoinService(c *v1alpha1.ConsulCluster) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: meta(c, JoinServiceName(c.Name)),
		Spec: corev1.ServiceSpec{
			Type:                     corev1.ServiceTypeClusterIP,
			ClusterIP:                corev1.ClusterIPNone,
			PublishNotReadyAddresses: true,
			Selector:                 Selector(c),
			Ports: []corev1.ServicePort{
				port("serf-lan", corev1.ProtocolTCP, PortSerfLAN),
				port("serf-lan-udp", corev1.ProtocolUDP, PortSerfLAN),
				port("server", corev1.ProtocolTCP, PortServer),
				port("http", corev1.ProtocolTCP, PortHTTP),
			},
		},
	}
}

// moreThanEver is more servers than any cluster has. As minAvailable it forbids every eviction, also of a server that is
// not ready because it is just handing over leadership: maxUnavailable 0 would allow that one, as long as enough others
// are ready (https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy).
const moreThanEver = 1000

// DisruptionBudget lets no server be evicted: the operator moves the servers of a node that is drained.
func DisruptionBudget(c *v1alpha1.ConsulCluster) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: meta(c, c.Name),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: ptr.To(intstr.FromInt32(moreThanEver)),
			Selector:     &metav1.LabelSelector{MatchLabels: Selector(c)},
		},
	}
}

// OpenDisruptionBudget lets one serving server be evicted at a time, and none of a single one.
func OpenDisruptionBudget(c *v1alpha1.ConsulCluster) *policyv1.PodDisruptionBudget {
	budget := DisruptionBudget(c)
	budget.Spec.MinAvailable = ptr.To(intstr.FromInt32(max(1, c.Spec.Replicas-1)))
	return budget
}

// IsOpen says whether a disruption budget lets a server be evicted.
func IsOpen(budget *policyv1.PodDisruptionBudget) bool {
	return budget.Spec.MinAvailable == nil || budget.Spec.MinAvailable.IntVal != moreThanEver
}

// ServiceAccountName is the name of the servers' ServiceAccount.
func ServiceAccountName(cluster string) string { return cluster + "-server" }

// ServiceAccount of the servers: they need nothing from the API server, so it has no token.
func ServiceAccount(c *v1alpha1.ConsulCluster) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		ObjectMeta:                   meta(c, ServiceAccountName(c.Name)),
		AutomountServiceAccountToken: ptr.To(false),
	}
}

// Claim is a new server: the volume claim that its data lives on.
func Claim(c *v1alpha1.ConsulCluster, server string, annotations map[string]string) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: meta(c, server),
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: c.Spec.Storage.StorageClassName,
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: c.Spec.Storage.Size},
			},
		},
	}
	claim.Labels[v1alpha1.LabelServer] = server
	claim.Annotations = annotations
	claim.OwnerReferences = ClaimOwners(c)
	return claim
}

// ClaimOwners are the owners of a claim: it goes with the cluster unless it is to be retained.
func ClaimOwners(c *v1alpha1.ConsulCluster) []metav1.OwnerReference {
	if c.Spec.Storage.Retention == v1alpha1.RetentionRetain {
		return nil
	}
	return []metav1.OwnerReference{ownerReference(c)}
}
