package resources

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	pathSnapshots   = "/snapshots"
	pathCredentials = "/run/snapshot/credentials"
	pathStoreCA     = "/run/snapshot/store-ca"
	pathKey         = "/run/snapshot/key"
	pathConsulCA    = "/run/snapshot/consul-ca"
	pathToken       = "/run/snapshot/token"
	pathTools       = "/run/snapshot/tools"
	pathTermination = "/dev/termination-log"

	// fileKey is the file with what decrypts.
	fileKey = "key"
)

// snapshotMount is a volume of a Job's pod, and where it is mounted.
type snapshotMount struct {
	path   string
	volume corev1.Volume
}

// snapshotMounts are the volumes of a container. A Secret that does not exist keeps a pod from starting, and the kubelet says so.
func snapshotMounts(c *v1alpha1.ConsulCluster, container string) []snapshotMount {
	needs := needsOf[container]
	mounts := []snapshotMount{scratchMount("tmp", pathTmp, scratch(c))}
	switch to := c.Spec.Snapshots.Destination; {
	case to.S3 != nil:
		mounts = append(mounts, bucketMounts(to.S3)...)
	case to.VolumeClaim != nil:
		claim := corev1.Volume{Name: "snapshots"}
		claim.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: to.VolumeClaim.Name}
		mounts = append(mounts, snapshotMount{pathSnapshots, claim})
	}
	if ref := decryptsWith(c.Spec.Snapshots.Encryption); needs.key && ref != nil {
		mounts = append(mounts, secretMount("key", pathKey, ref.Name,
			corev1.KeyToPath{Key: cmp.Or(ref.Key, fileKey), Path: fileKey}))
	}
	if needs.consul && HasTLS(c) {
		mounts = append(mounts, secretMount("consul-ca", pathConsulCA, AuthoritiesSecretName(c.Name), same(corev1.TLSCertKey)))
	}
	if needs.consul && HasACLs(c) {
		mounts = append(mounts, secretMount("token", pathToken, ManagementSecretName(c.Name), same(keyManagement)))
	}
	if needs.tools {
		mounts = append(mounts, toolsMount())
	}
	return mounts
}

// toolsMount is where the operator is copied to, so that a container with Consul's image can run it.
func toolsMount() snapshotMount { return scratchMount("tools", pathTools, resource.MustParse("512Mi")) }

// scratch is how much a Job may write: Consul, into which a snapshot is restored for a test, spools all of the state, stores it,
// and spools it again to save it. A server has all of that at most once, on its volume.
func scratch(c *v1alpha1.ConsulCluster) resource.Quantity {
	twice := largestVolume(c).DeepCopy()
	twice.Mul(2)
	return twice
}

// bucketMounts are the Secrets by which a bucket is reached.
func bucketMounts(s3 *v1alpha1.S3Destination) []snapshotMount {
	var mounts []snapshotMount
	if s3.CredentialsSecretRef != nil {
		mounts = append(mounts, secretMount("credentials", pathCredentials, s3.CredentialsSecretRef.Name))
	}
	if s3.CASecretRef != nil {
		mounts = append(mounts, secretMount("store-ca", pathStoreCA, s3.CASecretRef.Name, same(fileAuthorities)))
	}
	return mounts
}

// decryptsWith is the Secret with what decrypts; nil if there is none.
func decryptsWith(encryption *v1alpha1.SnapshotEncryption) *v1alpha1.SecretKey {
	switch {
	case encryption == nil:
		return nil
	case encryption.PassphraseSecretRef != nil:
		return encryption.PassphraseSecretRef
	}
	return encryption.IdentitySecretRef
}

// CanDecrypt reports whether snapshots of a cluster can be restored.
func CanDecrypt(c *v1alpha1.ConsulCluster) bool {
	return !IsSnapshotEncrypted(c) || decryptsWith(c.Spec.Snapshots.Encryption) != nil
}

func same(key string) corev1.KeyToPath { return corev1.KeyToPath{Key: key, Path: key} }

func secretMount(name, at, secret string, items ...corev1.KeyToPath) snapshotMount {
	return snapshotMount{at, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: secret, Items: items, DefaultMode: ptr.To[int32](0o440),
	}}}}
}

func scratchMount(name, at string, limit resource.Quantity) snapshotMount {
	return snapshotMount{at, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit},
	}}}
}

func volumesOf(mounts []snapshotMount) []corev1.Volume {
	var volumes []corev1.Volume
	for _, mount := range mounts {
		volumes = append(volumes, mount.volume)
	}
	return volumes
}

func mountsOf(mounts []snapshotMount) []corev1.VolumeMount {
	var all []corev1.VolumeMount
	for _, mount := range mounts {
		all = append(all, corev1.VolumeMount{
			Name: mount.volume.Name, MountPath: mount.path, ReadOnly: mount.volume.Secret != nil,
		})
	}
	return all
}
