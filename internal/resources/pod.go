package resources

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// ContainerConsul is the name of the Consul container.
const ContainerConsul = "consul"

const (
	volumeData   = "data"
	volumeConfig = "config"
	volumeTmp    = "tmp"

	pathData   = "/consul/data"
	pathConfig = "/consul/config"
	pathTmp    = "/tmp"

	envPodIP = "POD_IP"
)

// The user and group of the official image.
const (
	consulUser  = 100
	consulGroup = 1000
)

// stopSeconds is how long a server may take to leave on SIGTERM; Consul itself gives up after 15 s.
const stopSeconds = 30

// Server holds what differs between the servers of a revision.
type Server struct {
	Name string
	// BootstrapExpect is 0 for all servers except the first ones of a cluster that was never bootstrapped.
	BootstrapExpect int
	// Settings is the file that the server reads again while it runs.
	Settings string
	// Recovery is the recovery that the server takes part in; nil if there is none.
	Recovery *Recovery
	// Volume is how large its volume is; zero if that is not known.
	Volume resource.Quantity
	// Avoid are the names of nodes that its pod must not be scheduled to.
	Avoid []string
}

// Pod returns the pod of one server with the revision in the Secret.
func Pod(c *v1alpha1.ConsulCluster, server Server, revision *corev1.Secret) (*corev1.Pod, error) {
	var template corev1.PodTemplateSpec
	if err := json.Unmarshal(revision.Data[keyPod], &template); err != nil {
		return nil, fmt.Errorf("secret %s does not hold a revision: %w", revision.Name, err)
	}
	consul := slices.IndexFunc(template.Spec.Containers, func(c corev1.Container) bool { return c.Name == ContainerConsul })
	if consul < 0 {
		return nil, fmt.Errorf("secret %s does not hold a revision: its pod has no container %s", revision.Name, ContainerConsul)
	}
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Name, pod.Namespace = server.Name, c.Namespace
	pod.OwnerReferences = []metav1.OwnerReference{ownerReference(c)}
	pod.Labels = podLabels(c, pod.Labels)
	pod.Labels[v1alpha1.LabelServer] = server.Name
	for i := range pod.Spec.Volumes {
		switch volume := &pod.Spec.Volumes[i]; {
		case volume.Name == volumeData && volume.PersistentVolumeClaim != nil:
			volume.PersistentVolumeClaim.ClaimName = server.Name
		case volume.Name == volumeTmp && volume.EmptyDir != nil:
			volume.EmptyDir.SizeLimit = ptr.To(largest(largestVolume(c), server.Volume))
		}
	}
	mountSettings(pod, &pod.Spec.Containers[consul])
	GiveSettings(pod, server.Settings)
	args := &pod.Spec.Containers[consul].Args
	*args = append(*args, "-node="+server.Name, "-node-id="+NodeID(Identity(c), server.Name))
	if server.BootstrapExpect > 0 {
		*args = append(*args, fmt.Sprintf("-bootstrap-expect=%d", server.BootstrapExpect))
	}
	if server.Recovery != nil {
		prepareRecovery(pod, c, server, pod.Spec.Containers[consul])
	}
	avoid(pod, server.Avoid)
	return pod, nil
}

// podTemplate returns what the pods of a revision have in common.
func podTemplate(c *v1alpha1.ConsulCluster, revision string) *corev1.PodTemplateSpec {
	user := c.Spec.PodTemplate
	labels := podLabels(c, user.Metadata.Labels)
	labels[v1alpha1.LabelRevision] = revision
	template := &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: user.Metadata.Annotations},
		Spec: corev1.PodSpec{
			ServiceAccountName:            ServiceAccountName(c.Name),
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			RestartPolicy:                 corev1.RestartPolicyOnFailure, // Consul exits with 0 after a leave
			TerminationGracePeriodSeconds: ptr.To[int64](stopSeconds),
			ReadinessGates:                []corev1.PodReadinessGate{{ConditionType: v1alpha1.GateServing}},
			SecurityContext:               podSecurity(user),
			Volumes:                       append(volumes(c, revision), user.Volumes...),
			InitContainers:                restricted(user.InitContainers),
			Containers:                    append([]corev1.Container{consulContainer(c)}, restricted(user.Containers)...),
			NodeSelector:                  user.NodeSelector,
			Tolerations:                   user.Tolerations,
			Affinity:                      affinity(c),
			TopologySpreadConstraints:     spread(c),
			PriorityClassName:             user.PriorityClassName,
			ImagePullSecrets:              user.ImagePullSecrets,
		},
	}
	prepareGossip(template, c)
	prepareTLS(template, c)
	prepareACLs(template, c)
	return template
}

func podSecurity(user v1alpha1.PodTemplate) *corev1.PodSecurityContext {
	if user.SecurityContext != nil {
		return user.SecurityContext
	}
	return &corev1.PodSecurityContext{
		RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](consulUser), RunAsGroup: ptr.To[int64](consulGroup),
		FSGroup:             ptr.To[int64](consulGroup),
		FSGroupChangePolicy: ptr.To(corev1.FSGroupChangeOnRootMismatch),
		SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// restricted has containers of users that say nothing of their security meet the restricted Pod Security Standard, as the pod
// does (https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted).
func restricted(containers []corev1.Container) []corev1.Container {
	containers = slices.Clone(containers)
	for i := range containers {
		if containers[i].SecurityContext == nil {
			containers[i].SecurityContext = unprivileged()
		}
	}
	return containers
}

func unprivileged() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

// podLabels adds to labels those by which the operator and the Services find a pod.
func podLabels(c *v1alpha1.ConsulCluster, labels map[string]string) map[string]string {
	all := map[string]string{}
	for _, more := range []map[string]string{labels, Labels(c), Selector(c)} {
		maps.Copy(all, more)
	}
	return all
}

// PodLabels returns the labels of a server's pod as it was created, whatever labels it has now.
func PodLabels(c *v1alpha1.ConsulCluster, pod *corev1.Pod) map[string]string {
	labels := podLabels(c, nil)
	labels[v1alpha1.LabelServer] = pod.Name
	for _, volume := range pod.Spec.Volumes {
		if volume.Name == volumeConfig && volume.Secret != nil {
			labels[v1alpha1.LabelRevision] = strings.TrimPrefix(volume.Secret.SecretName, RevisionName(c.Name, ""))
		}
	}
	return labels
}

// Image returns the image of the servers.
func Image(c *v1alpha1.ConsulCluster) string {
	if c.Spec.Image != "" {
		return c.Spec.Image
	}
	return "hashicorp/consul:" + c.Spec.Version
}

func consulContainer(c *v1alpha1.ConsulCluster) corev1.Container {
	user, security := c.Spec.PodTemplate, unprivileged()
	security.ReadOnlyRootFilesystem = ptr.To(true)
	return corev1.Container{
		Name:    ContainerConsul,
		Image:   Image(c),
		Command: []string{"consul"},
		Args: []string{
			"agent", "-config-file=" + pathConfig + "/" + keyConfig, "-data-dir=" + pathData,
			// Servers talk to each other by one address. Clients may come to any: a Service may have addresses of another family
			// than POD_IP, or of both, and `kubectl port-forward` and `kubectl exec` come to 127.0.0.1, which a pod without an
			// IPv4 address has, too. Consul takes 0.0.0.0 for all addresses, IPv6 ones as well if the kernel has IPv6.
			"-bind=$(POD_IP)", "-client=0.0.0.0",
			// A name without dots: memberlist resolves names with dots by its own resolver, over TCP, which does not
			// know the pod's search domains.
			"-retry-join=" + JoinServiceName(c.Name), "-retry-interval=1s",
		},
		Env: append([]corev1.EnvVar{
			podIP(),
			// For `kubectl exec … consul members`. An IPv6 address of the pod would need brackets.
			{Name: "CONSUL_HTTP_ADDR", Value: fmt.Sprintf("127.0.0.1:%d", PortHTTP)},
		}, user.Env...),
		Ports: containerPorts(c),
		VolumeMounts: append([]corev1.VolumeMount{
			{Name: volumeData, MountPath: pathData},
			{Name: volumeConfig, MountPath: pathConfig, ReadOnly: true},
			{Name: volumeTmp, MountPath: pathTmp},
		}, user.VolumeMounts...),
		Resources: user.Resources,
		// A server may have to read a long log before it listens.
		StartupProbe:  probe(c, "/v1/status/leader", 1, 600),
		LivenessProbe: probe(c, "/v1/status/leader", 10, 6),
		// The catalog answers only if there is a leader, and anybody with an empty list if ACLs deny by default. Its price: it
		// counts as a read in limits.request_limits, so a storm of reads takes servers out of the Service. Nothing that Consul
		// exempts does better: status/leader answers 200 without a leader, and operator/… 403 without operator:read, also on
		// a server without ACLs whose leader has them already, or still has them after a rollback.
		ReadinessProbe: probe(c, "/v1/catalog/service/consul", 2, 3),
		// If a server does not start, its last log lines appear in the status of the cluster.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext:          security,
	}
}

func podIP() corev1.EnvVar {
	return corev1.EnvVar{
		Name: envPodIP, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}},
	}
}

// probe asks the agent. It answers /v1/status/leader by itself, with or without a leader.
func probe(c *v1alpha1.ConsulCluster, path string, periodSeconds, failures int32) *corev1.Probe {
	get := &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(PortHTTP)}
	if HasTLS(c) {
		get.Scheme, get.Port = corev1.URISchemeHTTPS, intstr.FromInt32(PortHTTPS)
	}
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: get},
		PeriodSeconds: periodSeconds, TimeoutSeconds: 2, FailureThreshold: failures,
	}
}

func volumes(c *v1alpha1.ConsulCluster, revision string) []corev1.Volume {
	return []corev1.Volume{
		{Name: volumeData, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}},
		{Name: volumeConfig, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: RevisionName(c.Name, revision),
			Items:      []corev1.KeyToPath{{Key: keyConfig, Path: keyConfig}},
		}}},
		{Name: volumeTmp, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
			SizeLimit: ptr.To(resource.MustParse("64Mi")),
		}}},
	}
}

// affinity prefers different nodes for servers unless the user sets an affinity. It also spreads the servers of a revision among
// themselves: three new servers next to three old ones in four zones could be well spread, but not once the old ones are gone.
func affinity(c *v1alpha1.ConsulCluster) *corev1.Affinity {
	if c.Spec.PodTemplate.Affinity != nil {
		return c.Spec.PodTemplate.Affinity
	}
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
			apart(c, corev1.LabelHostname),
			apart(c, corev1.LabelHostname, v1alpha1.LabelRevision),
			apart(c, corev1.LabelTopologyZone, v1alpha1.LabelRevision),
		},
	}}
}

// apart prefers different topology domains for servers with the same values of these labels.
func apart(c *v1alpha1.ConsulCluster, topology string, same ...string) corev1.WeightedPodAffinityTerm {
	return corev1.WeightedPodAffinityTerm{Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{
		TopologyKey: topology, LabelSelector: &metav1.LabelSelector{MatchLabels: Selector(c)}, MatchLabelKeys: same,
	}}
}

// spread prefers different zones for servers unless the user sets constraints.
func spread(c *v1alpha1.ConsulCluster) []corev1.TopologySpreadConstraint {
	if c.Spec.PodTemplate.TopologySpreadConstraints != nil {
		return c.Spec.PodTemplate.TopologySpreadConstraints
	}
	return []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector: &metav1.LabelSelector{MatchLabels: Selector(c)},
	}}
}
