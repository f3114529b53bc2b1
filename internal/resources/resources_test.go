package resources_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

var update = flag.Bool("update", false, "update the golden files")

func plain() *v1alpha1.ConsulCluster {
	return &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: "default", UID: "3ec0d6f4-3f5c-4a3e-9b1e-2f8f1f0a7c11"},
		Spec: v1alpha1.ConsulClusterSpec{
			Replicas: 3, Version: "1.22.7", Datacenter: "dc1",
			Storage: v1alpha1.Storage{Size: resource.MustParse("10Gi"), Retention: v1alpha1.RetentionDelete},
			Update:  v1alpha1.Update{MaxSurge: 1},
		},
	}
}

// operator is an operator that runs in pods.
var operator = resources.Self{Namespace: "operators", Labels: map[string]string{"app": "consul-operator"}}

func config(t *testing.T, values map[string]any) *v1alpha1.Config {
	c, err := v1alpha1.NewConfig(values)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

func customized(t *testing.T) *v1alpha1.ConsulCluster {
	c := plain()
	c.Spec.Image = "mirror/consul@sha256:0000"
	c.Spec.Storage.Retention = v1alpha1.RetentionRetain
	c.Spec.Config = config(t, map[string]any{
		"log_level": "DEBUG", "ports": map[string]any{"grpc": 8502, "serf_wan": 8302},
		"limits": map[string]any{"kv_max_value_size": 10000000},
	})
	c.Spec.NetworkPolicy = v1alpha1.NetworkPolicy{
		Clients: v1alpha1.Peers{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "blue"}}}},
		Agents:  v1alpha1.Peers{{IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24"}}},
	}
	c.Spec.PodTemplate = v1alpha1.PodTemplate{
		Metadata:     v1alpha1.PodMetadata{Labels: map[string]string{"team": "blue"}, Annotations: map[string]string{"a": "b"}},
		NodeSelector: map[string]string{"disk": "fast"},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
		Env:        []corev1.EnvVar{{Name: "GOMAXPROCS", Value: "2"}},
		Containers: []corev1.Container{{Name: "sidecar", Image: "sidecar:1"}},
		Affinity:   &corev1.Affinity{},
	}
	return c
}

// rendered is everything that is rendered for a cluster, in order of creation.
func rendered(t *testing.T, c *v1alpha1.ConsulCluster) string {
	g := NewWithT(t)
	secret, err := resources.RevisionSecret(c)
	g.Expect(err).NotTo(HaveOccurred())
	settings, _, err := resources.Settings(c)
	g.Expect(err).NotTo(HaveOccurred())
	pod, err := resources.Pod(c, resources.Server{Name: "consul-0", BootstrapExpect: 3, Settings: settings}, secret)
	g.Expect(err).NotTo(HaveOccurred())
	var out strings.Builder
	out.WriteString("# server.json\n" + string(secret.Data["server.json"]) + "\n")
	for _, object := range []any{
		pod, resources.Claim(c, "consul-0", nil), resources.ClientService(c), resources.JoinService(c),
		resources.DisruptionBudget(c, 3), resources.ServiceAccount(c), resources.NetworkPolicy(c, operator),
	} {
		text, err := yaml.Marshal(object)
		g.Expect(err).NotTo(HaveOccurred())
		out.WriteString("---\n" + string(text))
	}
	return out.String()
}

func TestRendered(t *testing.T) {
	for name, c := range map[string]*v1alpha1.ConsulCluster{"plain": plain(), "customized": customized(t)} {
		t.Run(name, func(t *testing.T) { golden(t, name+".yaml", rendered(t, c)) })
	}
}

// golden compares a text with a file, which -update writes.
func golden(t *testing.T, name, text string) {
	t.Helper()
	g := NewWithT(t)
	file := filepath.Join("testdata", name)
	if *update {
		g.Expect(os.MkdirAll("testdata", 0o750)).To(Succeed())
		g.Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	}
	kept, err := os.ReadFile(file) //nolint:gosec // our own file
	g.Expect(err).NotTo(HaveOccurred(), "run with -update to write it")
	g.Expect(text).To(Equal(string(kept)), "run with -update if this is what is wanted")
}

// I6: these names are in users' clusters. An operator that computes another name for the same spec restarts all servers
// of all its users: never change them, make new fields of the inputs omitempty instead.
func TestRevisionsNeverChange(t *testing.T) {
	g := NewWithT(t)
	g.Expect(resources.Revision(plain())).To(Equal("485e2fa0ee"))
	g.Expect(resources.Revision(customized(t))).To(Equal("7d55119985"))
	g.Expect(resources.Reloadable).To(HaveLen(9), "what is read again while a server runs is no part of a revision")
}

func TestWhatARevisionDependsOn(t *testing.T) {
	base := resources.Revision(plain())
	for name, test := range map[string]struct {
		change func(c *v1alpha1.ConsulCluster)
		same   bool
	}{
		"replicas":        {func(c *v1alpha1.ConsulCluster) { c.Spec.Replicas = 5 }, true},
		"storage":         {func(c *v1alpha1.ConsulCluster) { c.Spec.Storage.Size = resource.MustParse("20Gi") }, true},
		"surge":           {func(c *v1alpha1.ConsulCluster) { c.Spec.Update.MaxSurge = 3 }, true},
		"pause":           {func(c *v1alpha1.ConsulCluster) { c.Spec.Paused = true }, true},
		"an empty config": {func(c *v1alpha1.ConsulCluster) { c.Spec.Config = &v1alpha1.Config{Raw: []byte("{}")} }, true},
		"what autopilot is told": {func(c *v1alpha1.ConsulCluster) {
			c.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"autoPilot": {"max_trailing_logs": 500}}`)}
		}, true},
		"version":      {func(c *v1alpha1.ConsulCluster) { c.Spec.Version = "1.22.8" }, false},
		"image":        {func(c *v1alpha1.ConsulCluster) { c.Spec.Image = "x" }, false},
		"config":       {func(c *v1alpha1.ConsulCluster) { c.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"a":1}`)} }, false},
		"pod template": {func(c *v1alpha1.ConsulCluster) { c.Spec.PodTemplate.PriorityClassName = "x" }, false},
		"restart": {func(c *v1alpha1.ConsulCluster) {
			c.Annotations = map[string]string{v1alpha1.AnnotationRestartedAt: "now"}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := plain()
			test.change(c)
			expected := Equal(base)
			if !test.same {
				expected = Not(expected)
			}
			NewWithT(t).Expect(resources.Revision(c)).To(expected)
		})
	}
	one, other := plain(), plain()
	one.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"a":1,"b":{"c":2,"d":3}}`)}
	other.Spec.Config = &v1alpha1.Config{Raw: []byte(`{ "b": {"d":3,"c":2}, "a":1 }`)}
	NewWithT(t).Expect(resources.Revision(one)).To(Equal(resources.Revision(other)), "the order of keys does not matter")
}

func TestNames(t *testing.T) {
	g := NewWithT(t)
	serial, ok := resources.Serial("consul", "consul-12")
	g.Expect(serial).To(Equal(12))
	g.Expect(ok).To(BeTrue())
	for _, foreign := range []string{"consul", "consul-", "consul-x", "other-1", "consul-a-1", "consul--1"} {
		_, ok := resources.Serial("consul", foreign)
		g.Expect(ok).To(BeFalse(), foreign)
	}
	g.Expect(resources.NodeID(plain().UID, "consul-0")).To(
		Equal("ffed3965-1af4-5cdb-9884-4f14f1f58723"), "disks know it by this id")
}

// The default pod meets the restricted Pod Security Standard, also with containers of users that say nothing of their security.
func TestRestricted(t *testing.T) {
	g := NewWithT(t)
	c, own := plain(), &corev1.SecurityContext{RunAsUser: new(int64(7))}
	c.Spec.PodTemplate.InitContainers = []corev1.Container{{Name: "before"}}
	c.Spec.PodTemplate.Containers = []corev1.Container{{Name: "sidecar"}, {Name: "own", SecurityContext: own}}
	secret, err := resources.RevisionSecret(c)
	g.Expect(err).NotTo(HaveOccurred())
	pod, err := resources.Pod(c, resources.Server{Name: "consul-3"}, secret)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(*pod.Spec.SecurityContext.RunAsNonRoot).To(BeTrue())
	g.Expect(pod.Spec.SecurityContext.SeccompProfile.Type).To(Equal(corev1.SeccompProfileTypeRuntimeDefault))
	g.Expect(*pod.Spec.AutomountServiceAccountToken).To(BeFalse())
	for _, container := range append(pod.Spec.InitContainers, pod.Spec.Containers[0], pod.Spec.Containers[1]) {
		security := container.SecurityContext
		g.Expect(*security.AllowPrivilegeEscalation).To(BeFalse(), container.Name)
		g.Expect(security.Capabilities.Drop).To(ConsistOf(corev1.Capability("ALL")), container.Name)
	}
	g.Expect(pod.Spec.Containers[2].SecurityContext).To(Equal(own), "what users say stays")
	g.Expect(c.Spec.PodTemplate.Containers[0].SecurityContext).To(BeNil(), "the spec is not written to")
	g.Expect(strings.Join(pod.Spec.Containers[0].Args, " ")).NotTo(ContainSubstring("bootstrap"))
}

// A pod can be found by its labels, whatever the Secret says that it is made of.
func TestPodLabels(t *testing.T) {
	for name, text := range map[string]string{
		"none": `{"spec":{"containers":[{"name":"consul"}]}}`,
		"of a former cluster": `{"metadata":{"labels":{"consuloperator.io/cluster-uid":"x"}},` +
			`"spec":{"containers":[{"name":"consul"}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod, err := resources.Pod(plain(), resources.Server{Name: "consul-0"}, revision(text))
			g.Expect(err).NotTo(HaveOccurred())
			for key, value := range resources.Selector(plain()) {
				g.Expect(pod.Labels).To(HaveKeyWithValue(key, value))
			}
			g.Expect(pod.Labels).To(HaveKeyWithValue(v1alpha1.LabelClusterUID, string(plain().UID)))
		})
	}
}

func TestSecretsThatHoldNoRevision(t *testing.T) {
	recovery := &resources.Recovery{ID: "x", Survivor: "consul-0"}
	for name, text := range map[string]string{
		"no JSON": "{", "no container": "{}", "another container": `{"spec":{"containers":[{"name":"x"}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resources.Pod(plain(), resources.Server{Name: "consul-0", Recovery: recovery}, revision(text))
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring("secret consul-x does not hold a revision")))
		})
	}
}

func revision(pod string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "consul-x"}, Data: map[string][]byte{"pod.json": []byte(pod)}}
}

// A server belongs on another volume if the spec names another storage class, or if the operator has made a larger one. What
// somebody else has done to a volume is their affair.
func TestIsOnWrongVolume(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim)
		is     bool
	}{
		"as it was made": {func(*v1alpha1.ConsulCluster, *corev1.PersistentVolumeClaim) {}, false},
		"another class": {func(c *v1alpha1.ConsulCluster, _ *corev1.PersistentVolumeClaim) {
			c.Spec.Storage.StorageClassName = new("slow")
		}, true},
		"no class any more": {func(c *v1alpha1.ConsulCluster, _ *corev1.PersistentVolumeClaim) {
			c.Spec.Storage.StorageClassName = nil
		}, false},
		"a smaller size": {func(c *v1alpha1.ConsulCluster, _ *corev1.PersistentVolumeClaim) {
			c.Spec.Storage.Size = resource.MustParse("5Gi")
		}, true},
		"a larger size": {func(c *v1alpha1.ConsulCluster, _ *corev1.PersistentVolumeClaim) {
			c.Spec.Storage.Size = resource.MustParse("50Gi")
		}, false},
		"grown by somebody": {func(_ *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) {
			claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("100Gi")
		}, false},
		"of an older operator": {func(c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) {
			claim.Annotations = nil
			c.Spec.Storage.Size = resource.MustParse("5Gi")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := plain()
			cluster.Spec.Storage = v1alpha1.Storage{Size: resource.MustParse("10Gi"), StorageClassName: new("fast")}
			claim := resources.Claim(cluster, "consul-0", nil)
			c.change(cluster, claim)
			NewWithT(t).Expect(resources.IsOnWrongVolume(cluster, claim)).To(Equal(c.is))
		})
	}
}

// A new server gets the data that the others have, so its volume is as large as theirs.
func TestVolumeSize(t *testing.T) {
	g := NewWithT(t)
	cluster := plain()
	claims := map[string]*corev1.PersistentVolumeClaim{}
	size := func() string {
		wanted := resources.VolumeSize(cluster, claims)
		return wanted.String()
	}
	g.Expect(size()).To(Equal("10Gi"))
	for _, name := range []string{"consul-0", "consul-1"} {
		claims[name] = resources.Claim(cluster, name, nil)
	}
	g.Expect(size()).To(Equal("10Gi"))
	claims["consul-1"].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("20Gi")
	g.Expect(size()).To(Equal("20Gi"), "somebody has grown one")
	g.Expect(resources.IsOnWrongVolume(cluster, claims["consul-1"])).To(BeFalse())
	cluster.Spec.Storage.Size = resource.MustParse("5Gi")
	g.Expect(size()).To(Equal("20Gi"), "that one is left alone, and what is on it may not fit on less")
	g.Expect(resources.IsOnWrongVolume(cluster, claims["consul-0"])).To(BeTrue())
	g.Expect(resources.IsOnWrongVolume(cluster, claims["consul-1"])).To(BeFalse())
	delete(claims, "consul-1")
	g.Expect(size()).To(Equal("5Gi"), "all are to shrink")
}
