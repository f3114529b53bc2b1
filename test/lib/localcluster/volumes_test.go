package localcluster_test

import (
	"context"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func configMap(ctx context.Context, name string, data map[string]string) {
	GinkgoHelper()
	_, err := client.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data,
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
}

func secret(ctx context.Context, name string, data map[string]string) {
	GinkgoHelper()
	_, err := client.CoreV1().Secrets(ns).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data,
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
}

func claim(ctx context.Context, name string, change ...func(*corev1.PersistentVolumeClaimSpec)) {
	GinkgoHelper()
	wanted := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceStorage: resource.MustParse("1Gi"),
			}},
		},
	}
	for _, change := range change {
		change(&wanted.Spec)
	}
	_, err := client.CoreV1().PersistentVolumeClaims(ns).Create(ctx, wanted, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
}

func addVolume(pod *corev1.Pod, name, path string, source corev1.VolumeSource) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	c := &pod.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path})
}

func claimVolume(name string) corev1.VolumeSource {
	return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}
}

var _ = Describe("Volumes and environment", func() {
	It("show what a pod says of itself, and what Secrets hold, also when that changes", func(ctx SpecContext) {
		secret(ctx, "changes", map[string]string{"level": "debug"})
		pod := helperPod("tells", "serve", "-ip=$(POD_IP)")
		addVolume(pod, "secret", "/app/secret", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "changes"}})
		addVolume(pod, "all", "/app/all", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "changes"},
			}}},
		}})
		pod.Annotations = map[string]string{"example.com/zone": "z1"}
		addVolume(pod, "about", "/app/about", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
			Items: []corev1.DownwardAPIVolumeFile{{
				Path: "zone", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['example.com/zone']"},
			}},
		}})
		create(ctx, pod)
		pod = eventuallyReady(ctx, "tells")
		Expect(ask(pod, "file", "app/about/zone")).To(Equal("z1"))
		_, err := client.CoreV1().Pods(ns).Patch(ctx, "tells", types.MergePatchType,
			[]byte(`{"metadata": {"annotations": {"example.com/zone": "z2"}}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() (string, error) { return ask(pod, "file", "app/about/zone") }).Should(Equal("z2"))

		_, err = client.CoreV1().Secrets(ns).Patch(ctx, "changes", types.MergePatchType,
			[]byte(`{"stringData": {"level": "info"}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		for _, file := range []string{"app/secret/level", "app/all/level"} {
			Eventually(func() (string, error) { return ask(pod, "file", file) }).Should(Equal("info"))
		}
	})

	It("come from objects, with the paths of mounts rewritten", func(ctx SpecContext) {
		configMap(ctx, "config", map[string]string{
			"agent.hcl": `data = "/app/data/raft" # not /app/database, https://host/app/data, ./app/data`,
			"level":     "debug",
		})
		secret(ctx, "token", map[string]string{"token": "s3cret"})
		pod := helperPod("files", "serve", "-dir=/app/data", "-ip=$(POD_IP)", "$$(POD_IP)", "$(UNKNOWN)")
		pod.Annotations = map[string]string{"example.com/zone": "z1"}
		local := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
		addVolume(pod, "data", "/app/data", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
		addVolume(pod, "config", "/app/config", corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: local("config")},
		})
		addVolume(pod, "all", "/app/all", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{
				{Secret: &corev1.SecretProjection{LocalObjectReference: local("token"), Items: []corev1.KeyToPath{
					{Key: "token", Path: "deep/token"}}}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
					{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}},
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "jwt"}},
			},
		}})
		c := &pod.Spec.Containers[0]
		c.EnvFrom = []corev1.EnvFromSource{{Prefix: "CFG_", ConfigMapRef: &corev1.ConfigMapEnvSource{
			LocalObjectReference: local("config")}}}
		c.Env = append(c.Env,
			corev1.EnvVar{Name: "URL", Value: "http://$(POD_IP):8080"},
			corev1.EnvVar{Name: "DATA", Value: "/app/data"},
			fieldEnv("ZONE", "metadata.annotations['example.com/zone']"), fieldEnv("NODE", "spec.nodeName"),
			corev1.EnvVar{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: local("token"), Key: "token"}}},
		)
		create(ctx, pod)
		pod = eventuallyReady(ctx, "files")
		data, err := ask(pod, "env", "DATA")
		Expect(err).NotTo(HaveOccurred())
		Expect(data).To(And(HavePrefix(cluster.Dir()), BeADirectory()))
		Expect(ask(pod, "args", "")).To(Equal("[serve -dir=" + data + " -ip=" + pod.Status.PodIP + " $(POD_IP) $(UNKNOWN)]"))
		Expect(ask(pod, "file", "app/config/agent.hcl")).To(Equal(
			`data = "` + data + `/raft" # not /app/database, https://host/app/data, ./app/data`))
		Expect(ask(pod, "file", "app/all/deep/token")).To(Equal("s3cret"))
		Expect(ask(pod, "file", "app/all/name")).To(Equal("files"))
		Expect(ask(pod, "file", "app/all/jwt")).To(HavePrefix("ey"))
		Expect(ask(pod, "env", "URL")).To(Equal("http://" + pod.Status.PodIP + ":8080"))
		Expect(ask(pod, "env", "ZONE")).To(Equal("z1"))
		Expect(ask(pod, "env", "NODE")).To(Equal(pod.Spec.NodeName))
		Expect(ask(pod, "env", "TOKEN")).To(Equal("s3cret"))
		Expect(ask(pod, "env", "CFG_level")).To(Equal("debug"))
	})

	It("keep a container waiting while they are missing", func(ctx SpecContext) {
		pod := helperPod("missing", "serve")
		pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "later"}}}}
		create(ctx, pod)
		Eventually(func() *corev1.ContainerStateWaiting { return status(ctx, "missing").State.Waiting }).
			Should(HaveValue(HaveField("Reason", "CreateContainerConfigError")))
		configMap(ctx, "later", map[string]string{"a": "b"})
		Expect(ask(eventuallyReady(ctx, "missing"), "env", "a")).To(Equal("b"))
	})

	It("keep the data of a claim until the claim goes", func(ctx SpecContext) {
		claim(ctx, "data")
		newPod := func() {
			pod := helperPod("stateful", "serve")
			addVolume(pod, "data", "/data", claimVolume("data"))
			create(ctx, pod)
		}
		newPod()
		_, err := ask(eventuallyReady(ctx, "stateful"), "write", "data/file", "precious")
		Expect(err).NotTo(HaveOccurred())
		remove(ctx, "stateful")
		eventuallyGone(ctx, "stateful")
		newPod()
		Expect(ask(eventuallyReady(ctx, "stateful"), "file", "data/file")).To(Equal("precious"))

		claims := client.CoreV1().PersistentVolumeClaims(ns)
		bound, err := claims.Get(ctx, "data", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(bound.Finalizers).To(ContainElement("kubernetes.io/pvc-protection"))
		volume, err := client.CoreV1().PersistentVolumes().Get(ctx, bound.Spec.VolumeName, metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())

		By("expanding it")
		_, err = claims.Patch(ctx, "data", types.MergePatchType,
			[]byte(`{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() string {
			bound, err := claims.Get(ctx, "data", metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			return bound.Status.Capacity.Storage().String()
		}).Should(Equal("2Gi"))

		By("deleting it while it is used, then the pod")
		Expect(claims.Delete(ctx, "data", metav1.DeleteOptions{})).To(Succeed())
		Expect(volume.Spec.HostPath.Path + "/file").To(BeARegularFile())
		remove(ctx, "stateful")
		Eventually(func() bool {
			_, err := client.CoreV1().PersistentVolumes().Get(ctx, volume.Name, metav1.GetOptions{})
			_, statErr := os.Stat(volume.Spec.HostPath.Path)
			return apierrors.IsNotFound(err) && os.IsNotExist(statErr)
		}).Should(BeTrue())
	})

	It("keep a pod unscheduled without its claim", func(ctx SpecContext) {
		pod := helperPod("unbound", "serve")
		addVolume(pod, "data", "/data", claimVolume("late"))
		create(ctx, pod)
		Eventually(func() string { return condition(get(ctx, "unbound"), corev1.PodScheduled).Message }).
			Should(ContainSubstring(`persistentvolumeclaim "late" not found`))
		claim(ctx, "late")
		pod = eventuallyReady(ctx, "unbound")
		Expect(condition(pod, corev1.PodScheduled)).To(HaveField("Status", corev1.ConditionTrue))
		Expect(strings.Count(pod.Status.PodIP, ".")).To(Equal(3))
	})

	It("keep a pod on the node of a volume that cannot move", func(ctx SpecContext) {
		class, err := client.StorageV1().StorageClasses().Get(ctx, "standard", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		class.ObjectMeta, class.Parameters = metav1.ObjectMeta{Name: "disk-of-a-node"}, map[string]string{"onNode": "true"}
		_, err = client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		claim(ctx, "disk", func(s *corev1.PersistentVolumeClaimSpec) { s.StorageClassName = &class.Name })
		tied := func() {
			pod := helperPod("tied", "serve")
			addVolume(pod, "data", "/data", claimVolume("disk"))
			create(ctx, pod)
		}
		tied()
		node := eventuallyReady(ctx, "tied").Spec.NodeName
		remove(ctx, "tied")
		eventuallyGone(ctx, "tied")

		cordon(ctx, node, true)
		DeferCleanup(func(ctx SpecContext) { cordon(ctx, node, false) })
		tied()
		Eventually(func() string { return condition(get(ctx, "tied"), corev1.PodScheduled).Message }).
			Should(ContainSubstring("didn't match PersistentVolume's node affinity"))
		cordon(ctx, node, false)
		Expect(eventuallyReady(ctx, "tied").Spec.NodeName).To(Equal(node))
	})
})
