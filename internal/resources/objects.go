package resources

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
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
			Type:      corev1.ServiceTypeClusterIP,
			ClusterIP: corev1.ClusterIPNone,
			// Servers listen on one address of the pod. It may be of another family than a Service has by default.
			IPFamilyPolicy:           ptr.To(corev1.IPFamilyPolicyPreferDualStack),
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
	claim.Annotations = maps.Clone(annotations)
	setAnnotation(claim, v1alpha1.AnnotationStorageSize, c.Spec.Storage.Size.String())
	setAnnotation(claim, v1alpha1.AnnotationIdentity, string(Identity(c)))
	claim.OwnerReferences = nil
	OwnClaim(c, claim)
	return claim
}

// IsOnWrongVolume reports whether a server belongs on another volume: one of the storage class that the spec names, or a smaller
// one than the operator has created. A volume that has grown beyond that is none of those: what it was made for is written on its
// claim.
func IsOnWrongVolume(c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) bool {
	wanted := c.Spec.Storage.StorageClassName
	return wanted != nil && ptr.Deref(claim.Spec.StorageClassName, "") != *wanted || isToShrink(c, claim)
}

// isToShrink reports whether the spec asks for less than a volume was made for. One that has grown beyond that is left alone: its
// data may not fit on a smaller one.
func isToShrink(c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) bool {
	made, err := resource.ParseQuantity(claim.Annotations[v1alpha1.AnnotationStorageSize])
	return err == nil && made.Cmp(c.Spec.Storage.Size) > 0 && claim.Spec.Resources.Requests.Storage().Cmp(made) <= 0
}

// VolumeSize is the size of the volume of a new server, which gets the data that the others have: what the spec asks for, or more
// if the volume of another one has grown beyond that. Those that are to shrink do not count.
func VolumeSize(c *v1alpha1.ConsulCluster, claims map[string]*corev1.PersistentVolumeClaim) resource.Quantity {
	size := c.Spec.Storage.Size
	for _, claim := range claims {
		if grown := claim.Spec.Resources.Requests.Storage(); grown.Cmp(size) > 0 && !isToShrink(c, claim) {
			size = *grown
		}
	}
	return size
}

// largestVolume is how large volumes are to be at most, unless somebody has grown one by hand. Consul writes a snapshot that is
// saved or restored to /tmp, and the kubelet stops a pod that exceeds a limit: what fits on the volume has to fit there.
func largestVolume(c *v1alpha1.ConsulCluster) resource.Quantity {
	if grow := c.Spec.Storage.AutoGrow; grow != nil {
		return largest(c.Spec.Storage.Size, grow.Limit)
	}
	return c.Spec.Storage.Size
}

func largest(a, b resource.Quantity) resource.Quantity {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}

// OwnClaim makes a claim go with the cluster, or stay if volumes are retained, and takes the label of the instance off. It
// reports whether that changes the claim. A claim that was set aside gets no owner again.
func OwnClaim(c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) bool {
	before := claim.DeepCopy()
	delete(claim.Labels, labelInstance)
	owned := IsOwned(c, claim)
	switch retain := c.Spec.Storage.Retention == v1alpha1.RetentionRetain; {
	case retain && owned:
		claim.OwnerReferences = slices.DeleteFunc(claim.OwnerReferences, isCluster(c))
	case !retain && !owned && claim.Labels[v1alpha1.LabelRetired] == "":
		claim.OwnerReferences = WithOwner(c, claim.OwnerReferences)
	}
	return !equality.Semantic.DeepEqual(before.ObjectMeta, claim.ObjectMeta)
}

// Belongs reports whether an object is this cluster's: by its controller or, if it has none, by the label with the
// cluster's UID. A Secret has to have the controller. One that holds the pods that the operator creates is immutable, so
// nobody has changed it.
func Belongs(c *v1alpha1.ConsulCluster, o metav1.Object) bool {
	if secret, is := o.(*corev1.Secret); is {
		changes := slices.Contains([]string{
			GossipSecretName(c.Name), AuthoritiesSecretName(c.Name), AuthoritySecretName(c.Name), CertificateSecretName(c.Name),
			ManagementSecretName(c.Name), TokensSecretName(c.Name), MetricsSecretName(c.Name), ConfigFromSecretName(c.Name),
		}, o.GetName())
		return isControlledBy(c, o) && (changes || ptr.Deref(secret.Immutable, false))
	}
	if metav1.GetControllerOf(o) == nil {
		return o.GetLabels()[v1alpha1.LabelClusterUID] == string(c.UID)
	}
	return metav1.IsControlledBy(o, c)
}

// isControlledBy compares the kind as well: admission goes by it, and not by the UID, which anybody can write next to
// another kind.
func isControlledBy(c *v1alpha1.ConsulCluster, o metav1.Object) bool {
	owner, wanted := metav1.GetControllerOf(o), ownerReference(c)
	return owner != nil && owner.UID == wanted.UID && owner.Kind == wanted.Kind && owner.Name == wanted.Name &&
		strings.HasPrefix(owner.APIVersion, v1alpha1.GroupVersion.Group+"/")
}

// WithOwner adds the cluster to the owners of an object.
func WithOwner(c *v1alpha1.ConsulCluster, owners []metav1.OwnerReference) []metav1.OwnerReference {
	if slices.ContainsFunc(owners, isCluster(c)) {
		return owners
	}
	return append(slices.Clone(owners), ownerReference(c))
}

// IsOwned reports whether garbage collection deletes an object with the cluster.
func IsOwned(c *v1alpha1.ConsulCluster, o metav1.Object) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), isCluster(c))
}

func isCluster(c *v1alpha1.ConsulCluster) func(metav1.OwnerReference) bool {
	return func(owner metav1.OwnerReference) bool { return owner.UID == c.UID }
}
