package resources_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// savedIn is a cluster with TLS and ACLs that keeps snapshots in a bucket, encrypted.
func savedIn() *v1alpha1.ConsulCluster {
	c := inACLPhase(v1alpha1.ACLsDeny)
	c.Annotations[v1alpha1.AnnotationTLS] = string(v1alpha1.TLSHTTPSOnly)
	c.Spec.Snapshots = v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{S3: &v1alpha1.S3Destination{
			Bucket: "backups", Prefix: "production", Region: "eu-central-1", Endpoint: "https://minio.storage.svc:9000", PathStyle: true,
			CredentialsSecretRef: &v1alpha1.SecretName{Name: "credentials"}, CASecretRef: &v1alpha1.SecretName{Name: "authority"},
		}},
		Encryption: &v1alpha1.SnapshotEncryption{
			Recipients: []string{"age1abc"}, IdentitySecretRef: &v1alpha1.SecretKey{Name: "identity", Key: "mine"},
		},
	}
	return c
}

// savedOn keeps them on a volume, as they are.
func savedOn() *v1alpha1.ConsulCluster {
	c := plain()
	c.Spec.Snapshots = v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{VolumeClaim: &v1alpha1.VolumeClaimDestination{Name: "backups"}},
		Encryption:  &v1alpha1.SnapshotEncryption{Disabled: true},
	}
	return c
}

func aTask(container string) resources.SnapshotTask {
	return resources.SnapshotTask{
		Name: "today-" + container, Container: container, Objects: []string{"default/consul/today-01234567.snap"},
		Owner:  metav1.OwnerReference{APIVersion: "consuloperator.io/v1alpha1", Kind: "ConsulSnapshot", Name: "today", UID: "u1"},
		Within: time.Hour, Image: "operator:1", ServerName: "server.dc1.consul",
	}
}

func TestRenderedJobs(t *testing.T) {
	restore := aTask(resources.ContainerRestore)
	restore.SHA256 = "abcd"
	verified := aTask(resources.ContainerSave)
	verified.AndRestore = true
	for name, job := range map[string]*batchv1.Job{
		"job-save.yaml":    resources.SnapshotJob(savedIn(), verified),
		"job-restore.yaml": resources.SnapshotJob(savedIn(), restore),
		"job-volume.yaml":  resources.SnapshotJob(savedOn(), aTask(resources.ContainerSave)),
		"job-delete.yaml":  resources.SnapshotJob(savedIn(), aTask(resources.ContainerDelete)),
	} {
		t.Run(name, func(t *testing.T) {
			text, err := yaml.Marshal(job)
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			golden(t, name, string(text))
		})
	}
}

// I12: who reads pods learns no key and no token.
func TestJobsHaveNoSecretsInTheirArguments(t *testing.T) {
	g := NewWithT(t)
	job := resources.SnapshotJob(savedIn(), aTask(resources.ContainerSave))
	for _, container := range job.Spec.Template.Spec.Containers {
		g.Expect(container.Env).To(BeEmpty())
		for _, argument := range container.Args {
			g.Expect(strings.HasPrefix(argument, "--recipient=") || !strings.Contains(argument, "age1")).To(BeTrue())
		}
	}
}

// Its object has a name of its own: one that is created again after a disaster does not overwrite what is left.
func TestNamesOfObjects(t *testing.T) {
	g := NewWithT(t)
	s := &v1alpha1.ConsulSnapshot{ObjectMeta: metav1.ObjectMeta{Name: "today", UID: "0123456789abcdef"}}
	g.Expect(resources.SnapshotObject(savedIn(), s)).To(Equal("production/default/consul/today-01234567.snap.age"))
	g.Expect(resources.SnapshotObject(savedOn(), s)).To(Equal("default/consul/today-01234567.snap"))
	g.Expect(resources.SnapshotStore(savedIn())).To(Equal("https://minio.storage.svc:9000/backups"))
	g.Expect(resources.SnapshotStore(savedOn())).To(Equal("pvc://backups"))
	g.Expect(resources.SnapshotStore(plain())).To(BeEmpty())
}

// Who sets the users of servers gets the operator's for the Jobs, and who leaves them to the platform leaves these as well.
func TestUsersOfJobs(t *testing.T) {
	g := NewWithT(t)
	for name, c := range map[string]struct {
		of   *corev1.PodSecurityContext
		sets bool
	}{
		"by default":      {nil, true},
		"by the platform": {&corev1.PodSecurityContext{}, false},
		"by the user":     {&corev1.PodSecurityContext{RunAsUser: new(int64(1000))}, true},
	} {
		cluster := savedOn()
		cluster.Spec.PodTemplate.SecurityContext = c.of
		pod := resources.SnapshotJob(cluster, aTask(resources.ContainerSave)).Spec.Template.Spec
		g.Expect(pod.SecurityContext.RunAsUser != nil && pod.SecurityContext.FSGroup != nil).To(Equal(c.sets), name)
		g.Expect(*pod.SecurityContext.RunAsNonRoot).To(BeTrue(), name)
	}
}

// What a container is told to read, it has: a file that is not mounted would be missed at the moment when a snapshot is needed.
func TestJobsMountWhatTheyAreToldToRead(t *testing.T) {
	encrypted := func(c *v1alpha1.ConsulCluster, with v1alpha1.SnapshotEncryption) *v1alpha1.ConsulCluster {
		c.Spec.Snapshots.Encryption = &with
		return c
	}
	byTheCloud := savedIn()
	byTheCloud.Spec.Snapshots.Destination.S3.CredentialsSecretRef = nil
	byTheCloud.Spec.Snapshots.Destination.S3.CASecretRef = nil
	withTLS, withACLs := savedOn(), savedOn()
	withTLS.Annotations = map[string]string{
		v1alpha1.AnnotationTLS: string(v1alpha1.TLSHTTPSOnly), v1alpha1.AnnotationRecordsOf: string(withTLS.UID),
	}
	withACLs.Annotations = map[string]string{
		v1alpha1.AnnotationACLs: string(v1alpha1.ACLsDeny), v1alpha1.AnnotationRecordsOf: string(withACLs.UID),
	}
	key := &v1alpha1.SecretKey{Name: "key"}
	clusters := map[string]*v1alpha1.ConsulCluster{
		"in a bucket": savedIn(), "by the cloud": byTheCloud, "on a volume": savedOn(), "TLS": withTLS, "ACLs": withACLs,
		"passphrase":       encrypted(savedIn(), v1alpha1.SnapshotEncryption{PassphraseSecretRef: key}),
		"public keys only": encrypted(savedIn(), v1alpha1.SnapshotEncryption{Recipients: []string{"age1abc"}}),
		"identity": encrypted(savedOn(), v1alpha1.SnapshotEncryption{
			Recipients: []string{"age1abc"}, IdentitySecretRef: key,
		}),
		"not encrypted": encrypted(savedIn(), v1alpha1.SnapshotEncryption{Disabled: true}),
	}
	verified := aTask(resources.ContainerSave)
	verified.AndRestore = true
	tasks := map[string]resources.SnapshotTask{"save and verify": verified}
	for _, container := range []string{
		resources.ContainerSave, resources.ContainerInspect, resources.ContainerRestore, resources.ContainerDelete,
	} {
		tasks[container] = aTask(container)
	}
	for name, cluster := range clusters {
		for what, task := range tasks {
			t.Run(name+": "+what, func(t *testing.T) {
				pod := resources.SnapshotJob(cluster, task).Spec.Template.Spec
				checkMounts(NewWithT(t), pod)
			})
		}
	}
}

// checkMounts expects every file below /run/snapshot and /snapshots that a container is told of to be on a volume that it mounts,
// every volume to be in the pod once, and none to be there for nobody.
func checkMounts(g *WithT, pod corev1.PodSpec) {
	volumes := map[string]int{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name]++
		g.Expect(volumes[volume.Name]).To(Equal(1), volume.Name)
	}
	mounted := map[string]bool{}
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		at := map[string]bool{}
		for _, mount := range container.VolumeMounts {
			g.Expect(volumes).To(HaveKey(mount.Name), container.Name)
			g.Expect(at).NotTo(HaveKey(mount.MountPath), container.Name)
			at[mount.MountPath], mounted[mount.Name] = true, true
		}
		for _, argument := range slices.Concat(container.Command, container.Args) {
			_, file, isOption := strings.Cut(argument, "=")
			if !isOption {
				file = argument
			}
			if strings.HasPrefix(file, "/run/snapshot/") || strings.HasPrefix(file, "/snapshots") {
				isMounted := func(path string) bool { return file == path || strings.HasPrefix(file, path+"/") }
				g.Expect(slices.ContainsFunc(slices.Collect(maps.Keys(at)), isMounted)).To(BeTrue(), container.Name+" "+argument)
			}
		}
	}
	g.Expect(mounted).To(HaveLen(len(volumes)), "a Secret that nobody needs would keep the pod from starting")
}
