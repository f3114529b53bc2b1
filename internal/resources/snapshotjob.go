package resources

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Containers of the Jobs' pods. Each leaves its outcome as its termination message.
const (
	ContainerSave    = "save"
	ContainerVerify  = "verify"
	ContainerInspect = "inspect"
	ContainerRestore = "restore"
	ContainerDelete  = "delete"
	containerInstall = "install"
)

// needsOf says what a container of a Job is given beside the store: the key of the snapshots, the way to the cluster, what a
// snapshot has to fit, and the operator's program.
var needsOf = map[string]struct{ key, consul, fit, tools bool }{
	ContainerSave:    {key: true, consul: true},
	ContainerVerify:  {key: true, tools: true},
	ContainerInspect: {key: true, fit: true},
	ContainerRestore: {key: true, consul: true, fit: true},
	ContainerDelete:  {},
}

// programOperator is where the operator's image has the operator.
const programOperator = "/consul-operator"

// operatorUser is that of the operator's image.
const operatorUser = 65532

// ExitAgain is how a task ends that may succeed later: another pod of its Job begins anew. One that fails ends with 1, and its
// Job with it.
const ExitAgain = 3

// jobRetries is how many pods of a Job may end so. There is time for fewer.
const jobRetries = 1000

// jobGrace is what a Job has beyond the time of its task.
const jobGrace = 2 * time.Minute

// SnapshotTask is what a Job does.
type SnapshotTask struct {
	// Name of the Job, and Owner, with which it is deleted.
	Name  string
	Owner metav1.OwnerReference
	// Container is what it does: one of the containers above.
	Container string
	// Objects are the names of the objects in the store.
	Objects []string
	// SHA256 is the sum that the object has to have; empty for any.
	SHA256 string
	// AndRestore also restores what was saved into a server that nobody else reaches.
	AndRestore bool
	// Within is how long it goes on trying.
	Within time.Duration
	// Image is the operator's own.
	Image string
	// ServerName is the name in the certificate of the cluster's servers.
	ServerName string
}

// SnapshotAccountName returns the name of the ServiceAccount of the Jobs.
func SnapshotAccountName(cluster string) string { return cluster + "-snapshots" }

// SnapshotAccount returns the ServiceAccount of the Jobs. It has no rights: clouds give it an identity by its annotations.
func SnapshotAccount(c *v1alpha1.ConsulCluster) *corev1.ServiceAccount {
	account := &corev1.ServiceAccount{
		ObjectMeta: meta(c, SnapshotAccountName(c.Name)), AutomountServiceAccountToken: ptr.To(false),
	}
	account.Annotations = c.Spec.Snapshots.ServiceAccountAnnotations
	return account
}

// SnapshotObject returns the name of the object of a snapshot in the store. A part of the UID is in it: a ConsulSnapshot that is
// created again, such as after a disaster, does not overwrite the object of the first one, nor does one of another Kubernetes
// cluster.
func SnapshotObject(c *v1alpha1.ConsulCluster, s *v1alpha1.ConsulSnapshot) string {
	prefix := ""
	switch to := c.Spec.Snapshots.Destination; {
	case to.S3 != nil:
		prefix = to.S3.Prefix
	case to.VolumeClaim != nil:
		prefix = to.VolumeClaim.Prefix
	}
	name := fmt.Sprintf("%s-%.8s.snap", s.Name, s.UID)
	if IsSnapshotEncrypted(c) {
		name += encryptedSuffix
	}
	return path.Join(prefix, c.Namespace, c.Name, name)
}

// encryptedSuffix is what the names of encrypted objects end with.
const encryptedSuffix = ".age"

// IsEncryptedObject reports whether the object of a name is encrypted.
func IsEncryptedObject(name string) bool { return strings.HasSuffix(name, encryptedSuffix) }

// IsSnapshotEncrypted reports whether snapshots of a cluster are encrypted.
func IsSnapshotEncrypted(c *v1alpha1.ConsulCluster) bool {
	encryption := c.Spec.Snapshots.Encryption
	return encryption != nil && !encryption.Disabled
}

// SnapshotStore returns where snapshots are, for people.
func SnapshotStore(c *v1alpha1.ConsulCluster) string {
	switch to := c.Spec.Snapshots.Destination; {
	case to == nil:
		return ""
	case to.S3 != nil && to.S3.Endpoint != "":
		return to.S3.Endpoint + "/" + to.S3.Bucket
	case to.S3 != nil:
		return "s3://" + to.S3.Bucket
	case to.VolumeClaim != nil:
		return "pvc://" + to.VolumeClaim.Name
	}
	return ""
}

// SnapshotPodLabels are the labels by which the pods of a cluster's Jobs are found, and let in by its NetworkPolicy. They are not
// those of servers.
func SnapshotPodLabels(cluster string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name": "consul-snapshots", "app.kubernetes.io/managed-by": "consul-operator",
		v1alpha1.LabelSnapshotsOf: cluster,
	}
}

// SnapshotJob returns the Job of a task. The cluster has a destination.
func SnapshotJob(c *v1alpha1.ConsulCluster, t SnapshotTask) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: t.Name, Namespace: c.Namespace, Labels: Labels(c), OwnerReferences: []metav1.OwnerReference{t.Owner},
			Annotations: map[string]string{
				v1alpha1.AnnotationStore: SnapshotStore(c), v1alpha1.AnnotationObjects: strings.Join(t.Objects, " "),
			},
		},
		Spec: batchv1.JobSpec{
			BackoffLimit:          ptr.To(retriesOf(t)),
			ActiveDeadlineSeconds: ptr.To(int64((t.Within + jobGrace) / time.Second)),
			PodFailurePolicy:      failurePolicy(t),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: SnapshotPodLabels(c.Name)},
				Spec:       snapshotPod(c, t),
			},
		},
	}
}

// retriesOf is how many pods of a Job may be lost. A pod that restores is never replaced: it may go on where nobody sees it, and
// restore after the other one has.
func retriesOf(t SnapshotTask) int32 {
	if t.Container == ContainerRestore {
		return 0
	}
	return jobRetries
}

// failurePolicy has a task that fails for good end its Job, and a pod that is lost not count.
func failurePolicy(t SnapshotTask) *batchv1.PodFailurePolicy {
	if t.Container == ContainerRestore {
		return nil
	}
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
		{
			Action: batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
			},
		},
		{
			Action: batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{1},
			},
		},
	}}
}

func snapshotPod(c *v1alpha1.ConsulCluster, t SnapshotTask) corev1.PodSpec {
	task := snapshotContainer(c, t, t.Container)
	task.Image, task.Command = t.Image, []string{programOperator}
	pod := corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		ServiceAccountName:            SnapshotAccountName(c.Name),
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To[int64](stopSeconds),
		SecurityContext:               snapshotSecurity(c),
		Volumes:                       volumesOf(snapshotMounts(c, t.Container)),
		Containers:                    []corev1.Container{task},
		NodeSelector:                  c.Spec.PodTemplate.NodeSelector,
		Tolerations:                   c.Spec.PodTemplate.Tolerations,
		ImagePullSecrets:              append(slices.Clone(c.Spec.Snapshots.ImagePullSecrets), c.Spec.PodTemplate.ImagePullSecrets...),
	}
	if t.AndRestore {
		verify := snapshotContainer(c, t, ContainerVerify)
		verify.Image, verify.Command = Image(c), []string{path.Join(pathTools, path.Base(programOperator))}
		verify.Resources = c.Spec.Snapshots.VerifyResources
		pod.InitContainers, pod.Containers = []corev1.Container{installContainer(c, t.Image), task}, []corev1.Container{verify}
		pod.Volumes = append(pod.Volumes, toolsMount().volume)
	}
	return pod
}

// snapshotSecurity is the restricted Pod Security Standard, or what the platform needs that assigns users.
func snapshotSecurity(c *v1alpha1.ConsulCluster) *corev1.PodSecurityContext {
	security := &corev1.PodSecurityContext{
		RunAsNonRoot:   ptr.To(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	// Otherwise the platform assigns them.
	if user := c.Spec.PodTemplate.SecurityContext; user == nil || user.RunAsUser != nil || user.FSGroup != nil {
		security.RunAsUser, security.RunAsGroup = ptr.To[int64](operatorUser), ptr.To[int64](operatorUser)
		security.FSGroup = ptr.To[int64](operatorUser)
		security.FSGroupChangePolicy = ptr.To(corev1.FSGroupChangeOnRootMismatch)
	}
	return security
}

// installContainer copies the operator to where a container with Consul's image can run it.
func installContainer(c *v1alpha1.ConsulCluster, image string) corev1.Container {
	return readOnly(corev1.Container{
		Name: containerInstall, Image: image, Command: []string{programOperator}, Resources: c.Spec.Snapshots.Resources,
		Args:         []string{"install", path.Join(pathTools, path.Base(programOperator))},
		VolumeMounts: mountsOf([]snapshotMount{toolsMount()}),
	})
}

func snapshotContainer(c *v1alpha1.ConsulCluster, t SnapshotTask, name string) corev1.Container {
	args := append([]string{"snapshot", name, "--outcome=" + pathTermination, "--within=" + t.Within.String()}, storeArgs(c)...)
	needs := needsOf[name]
	if needs.key {
		args = append(args, keyArgs(c)...)
	}
	if needs.consul {
		args = append(args, consulArgs(c, t)...)
	}
	if needs.fit {
		args = append(args, fitArgs(c)...)
	}
	if t.SHA256 != "" {
		args = append(args, "--sha256="+t.SHA256)
	}
	args = append(args, "--")
	return readOnly(corev1.Container{
		Name: name, Args: append(args, t.Objects...), Resources: c.Spec.Snapshots.Resources,
		VolumeMounts: mountsOf(snapshotMounts(c, name)),
	})
}

func readOnly(container corev1.Container) corev1.Container {
	container.SecurityContext = unprivileged()
	container.SecurityContext.ReadOnlyRootFilesystem = ptr.To(true)
	return container
}

// storeArgs say where the store is.
func storeArgs(c *v1alpha1.ConsulCluster) []string {
	s3 := c.Spec.Snapshots.Destination.S3
	if s3 == nil {
		return []string{"--store=" + pathSnapshots}
	}
	args := []string{"--store=s3://" + s3.Bucket, "--s3-region=" + s3.Region}
	if s3.Endpoint != "" {
		args = append(args, "--s3-endpoint="+s3.Endpoint)
	}
	if s3.PathStyle {
		args = append(args, "--s3-path-style")
	}
	if s3.CredentialsSecretRef != nil {
		args = append(args, "--s3-credentials-dir="+pathCredentials)
	}
	if s3.CASecretRef != nil {
		args = append(args, "--s3-ca-file="+path.Join(pathStoreCA, fileAuthorities))
	}
	return args
}

// keyArgs say what snapshots are encrypted and decrypted with.
func keyArgs(c *v1alpha1.ConsulCluster) []string {
	encryption := c.Spec.Snapshots.Encryption
	if !IsSnapshotEncrypted(c) {
		return nil
	}
	var args []string
	for _, recipient := range encryption.Recipients {
		args = append(args, "--recipient="+recipient)
	}
	switch {
	case encryption.PassphraseSecretRef != nil:
		args = append(args, "--passphrase-file="+path.Join(pathKey, fileKey))
	case encryption.IdentitySecretRef != nil:
		args = append(args, "--identity-file="+path.Join(pathKey, fileKey))
	}
	return args
}

// consulArgs say how the cluster is reached. It is by the headless Service: a cluster that begins with a snapshot has nobody in
// the other one yet.
func consulArgs(c *v1alpha1.ConsulCluster, t SnapshotTask) []string {
	host := JoinServiceName(c.Name) + "." + c.Namespace + ".svc"
	args := []string{"--consul=http://" + host + ":8500"}
	if HasTLS(c) {
		args = []string{
			"--consul=https://" + host + ":8501", "--consul-server-name=" + t.ServerName,
			"--consul-ca-file=" + path.Join(pathConsulCA, corev1.TLSCertKey),
		}
	}
	if HasACLs(c) {
		args = append(args, "--consul-token-file="+path.Join(pathToken, keyManagement))
	}
	return args
}

// fitArgs say what a snapshot has to fit. Servers that are still of an older version read it as well.
func fitArgs(c *v1alpha1.ConsulCluster) []string {
	return []string{"--datacenter=" + c.Spec.Datacenter, "--version=" + cmp.Or(c.Status.Version, c.Spec.Version)}
}
