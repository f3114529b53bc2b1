package resources

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// ClientService returns the Service that sends clients and users of the UI to the ready servers.
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

// JoinService returns the headless Service through which servers find each other before they are ready.
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

// DisruptionBudget returns a budget that asks for so many ready pods. If that is all pods there are, it allows no eviction, not
// even of a server that is not ready because it is handing over leadership: maxUnavailable 0 would allow that one as long as
// enough others are ready (https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy).
func DisruptionBudget(c *v1alpha1.ConsulCluster, minAvailable int) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: meta(c, DisruptionBudgetName(c.Name)),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: ptr.To(intstr.FromInt(minAvailable)),
			Selector:     &metav1.LabelSelector{MatchLabels: Selector(c)},
		},
	}
}

// MinAvailable returns how many ready pods a disruption budget asks for; 0 if somebody has made it ask for something else.
func MinAvailable(budget *policyv1.PodDisruptionBudget) int {
	if budget.Spec.MinAvailable == nil || budget.Spec.MinAvailable.Type != intstr.Int {
		return 0
	}
	return budget.Spec.MinAvailable.IntValue()
}

// ServiceAccountName returns the name of the servers' ServiceAccount.
func ServiceAccountName(cluster string) string { return cluster + "-server" }

// ServiceAccount returns the ServiceAccount of the servers. It has no token, because they need nothing from the API server.
func ServiceAccount(c *v1alpha1.ConsulCluster) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		ObjectMeta:                   meta(c, ServiceAccountName(c.Name)),
		AutomountServiceAccountToken: ptr.To(false),
	}
}

// Claim returns the volume claim of a new server, which holds its data.
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

// ClaimOwners returns the owners of a claim: it is deleted with the cluster unless volumes are retained.
func ClaimOwners(c *v1alpha1.ConsulCluster) []metav1.OwnerReference {
	if c.Spec.Storage.Retention == v1alpha1.RetentionRetain {
		return nil
	}
	return []metav1.OwnerReference{ownerReference(c)}
}
