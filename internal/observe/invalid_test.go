package observe_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// single is a cluster of one server, updated in place, whose pod is gone.
func single(w *world, version string) {
	w.cluster.Spec.Replicas, w.cluster.Spec.Update.Type = 1, v1alpha1.UpdateInPlace
	w.claims, w.pods = w.claims[:1], nil
	w.cluster.Status = statusOf(clusterUID, "consul-0")
	w.cluster.Status.Servers[0].Version = version
}

// The only server must not come back with a version that was refused as long as it ran.
func TestADowngradeIsRefusedWhileTheServerIsAway(t *testing.T) {
	w := newWorld(t)
	single(w, "1.22.7")
	w.cluster.Spec.Version = "1.19.2"
	d := plan.Plan(w.look().Observation, now)
	w.Expect(d.Step).To(BeNil())
	w.Expect(d.Upkeep).To(Equal([]plan.Action{plan.CreatePod{Server: "consul-0"}}))
}

func TestInvalid(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(w *world)
		message string // of the problem, its beginning; empty if there is none
	}{
		"nothing":              {func(*world) {}, ""},
		"an upgrade":           {func(w *world) { w.cluster.Spec.Version = "1.23.0" }, ""},
		"a patch version less": {func(w *world) { w.cluster.Spec.Version = "1.22.1" }, ""},
		"a minor version less": {func(w *world) { w.cluster.Spec.Version = "1.21.5" },
			"spec.version: 1.21.5 is a downgrade, consul-0 runs 1.22.7, "},
		"a major version less": {
			func(w *world) { w.agent(2).self.Version = "2.0.0+ent" }, "spec.version: 1.22.7 is a downgrade, consul-2 runs 2.0.0+ent, ",
		},
		"a downgrade that a person allows": {
			func(w *world) {
				w.cluster.Spec.Version = "1.21.5"
				w.cluster.Annotations[v1alpha1.AnnotationAllowDowngrade] = "1.21.5"
			}, "",
		},
		"another one is allowed": {
			func(w *world) {
				w.cluster.Spec.Version = "1.21.5"
				w.cluster.Annotations[v1alpha1.AnnotationAllowDowngrade] = "1.21.4"
			}, "spec.version: 1.21.5 is a downgrade",
		},
		"a mistyped version never took part": {
			func(w *world) { w.agent(2).self.Version, w.agent(0).peers = "9.9.9", w.agent(0).peers[:2] }, "",
		},
		"a minor version less, and the only server is away": {
			func(w *world) {
				single(w, "1.22.7")
				w.cluster.Spec.Version = "1.19.2"
			}, "spec.version: 1.19.2 is a downgrade, consul-0 runs 1.22.7, ",
		},
		"a server that does not answer": {
			func(w *world) {
				w.cluster.Status = statusOf(clusterUID, "consul-0", "consul-1", "consul-2")
				w.cluster.Status.Servers[2].Version = "1.23.0"
				w.agent(2).silent["self"] = true
			}, "spec.version: 1.22.7 is a downgrade, consul-2 runs 1.23.0, ",
		},
		"one that took no part, and does not answer any more": {
			func(w *world) {
				w.cluster.Status = statusOf(clusterUID, "consul-0", "consul-1", "consul-2")
				w.cluster.Status.Servers[2].Version = "9.9.9"
				w.agent(2).silent["self"], w.agent(0).peers = true, w.agent(0).peers[:2]
			}, "",
		},
		"a cluster that never had a leader": {
			func(w *world) {
				single(w, "1.22.7")
				w.cluster.Status.Term, w.cluster.Annotations = 0, nil
				w.cluster.Spec.Version = "1.19.2"
			}, "",
		},
		"a version that nobody can read": {func(w *world) { w.cluster.Spec.Version = "newest" }, ""},
		"a size that no volume has yet":  {func(w *world) { w.cluster.Spec.Storage.Size = resource.MustParse("20Gi") }, ""},
		"a container with our name": {
			func(w *world) {
				w.cluster.Spec.PodTemplate.Containers = []corev1.Container{{Name: "x"}, {Name: "consul"}}
			},
			"spec.podTemplate.containers[1].name: consul belongs to the operator",
		},
		"a container with the name of the one that recovers": {
			func(w *world) { w.cluster.Spec.PodTemplate.Containers = []corev1.Container{{Name: "recover"}} },
			"spec.podTemplate.containers[0].name: recover belongs to the operator",
		},
		"an init container with the name of the one that recovers": {
			func(w *world) {
				w.cluster.Spec.PodTemplate.InitContainers = []corev1.Container{{Name: "x"}, {Name: "recover"}}
			},
			"spec.podTemplate.initContainers[1].name: recover belongs to the operator",
		},
		"an init container with our name": {
			func(w *world) { w.cluster.Spec.PodTemplate.InitContainers = []corev1.Container{{Name: "consul"}} },
			"spec.podTemplate.initContainers[0].name: consul belongs to the operator",
		},
		"a mount over ours": {
			func(w *world) {
				w.cluster.Spec.PodTemplate.VolumeMounts = []corev1.VolumeMount{{Name: "x", MountPath: "/x"}, {Name: "x", MountPath: "/tmp/"}}
			},
			"spec.podTemplate.volumeMounts[1].mountPath: /tmp/ belongs to the operator",
		},
		"a volume with a name of ours": {
			func(w *world) { w.cluster.Spec.PodTemplate.Volumes = []corev1.Volume{{Name: "data"}} },
			"spec.podTemplate.volumes[0].name: data belongs to the operator",
		},
		"our environment": {
			func(w *world) { w.cluster.Spec.PodTemplate.Env = []corev1.EnvVar{{Name: "X"}, {Name: "POD_IP"}} },
			"spec.podTemplate.env[1].name: POD_IP belongs to the operator",
		},
		"names of others": {
			func(w *world) {
				w.cluster.Spec.PodTemplate = v1alpha1.PodTemplate{
					Containers: []corev1.Container{{Name: "x"}}, InitContainers: []corev1.Container{{Name: "y"}},
					Volumes: []corev1.Volume{{Name: "x"}}, VolumeMounts: []corev1.VolumeMount{{Name: "x", MountPath: "/tmp/x"}},
					Env: []corev1.EnvVar{{Name: "X"}},
				}
			}, "",
		},
		"a configuration that is none": {
			func(w *world) { w.cluster.Spec.Config = &v1alpha1.Config{Raw: []byte("[]")} }, "spec.config",
		},
		"a key of ours in another case": {
			func(w *world) { w.cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"Bootstrap_Expect": 1}`)} },
			"spec.config.Bootstrap_Expect: bootstrap_expect belongs to the operator: clusters are bootstrapped once, ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.change(w)
			invalid := w.look().Spec.Invalid
			if test.message == "" {
				w.Expect(invalid).To(BeNil())
				return
			}
			w.Expect(invalid).NotTo(BeNil())
			w.Expect(strings.HasPrefix(invalid.Message, test.message)).To(BeTrue(), invalid.Message)
		})
	}
}
