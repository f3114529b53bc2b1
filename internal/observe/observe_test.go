package observe_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// former is a deleted cluster of the same name.
func former(c *v1alpha1.ConsulCluster) *v1alpha1.ConsulCluster {
	c = c.DeepCopy()
	c.UID = "a former one"
	return c
}

func TestOurs(t *testing.T) {
	w := newWorld(t)
	retained, failed := claim(w.cluster, "consul-0"), claim(w.cluster, "consul-0")
	retained.Labels[v1alpha1.LabelRetired] = v1alpha1.RetiredGracefully
	failed.Labels[v1alpha1.LabelRetired] = v1alpha1.RetiredFailed
	w.Expect(observe.Ours(w.cluster, claim(w.cluster, "consul-0"))).To(BeTrue())
	w.Expect(observe.Ours(w.cluster, retained)).To(BeFalse())
	w.Expect(observe.Ours(w.cluster, failed)).To(BeFalse())
	w.Expect(observe.Ours(w.cluster, claim(former(w.cluster), "consul-0"))).To(BeFalse())
	w.Expect(observe.Ours(w.cluster, &corev1.PersistentVolumeClaim{})).To(BeFalse())
}

// A claim that is not ours is not a server, but its serial is in use: its name is taken.
func TestClaimsThatAreNoServers(t *testing.T) {
	w := newWorld(t)
	retained := claim(w.cluster, "consul-8")
	retained.Labels[v1alpha1.LabelRetired] = v1alpha1.RetiredGracefully
	elsewhere := claim(w.cluster, "consul-30")
	elsewhere.Namespace = "elsewhere"
	w.claims = append(w.claims, retained, claim(former(w.cluster), "consul-5"), claim(w.cluster, "consul-data"), elsewhere)
	s := w.look()
	w.Expect(names(s.Servers)).To(Equal([]string{"consul-0", "consul-1", "consul-2"}))
	w.Expect(s.Spec.NextSerial).To(Equal(9))
}

func TestServersAreInTheOrderOfTheirSerials(t *testing.T) {
	w := newWorld(t)
	w.claims = append(w.claims, claim(w.cluster, "consul-10"))
	w.Expect(names(w.look().Servers)).To(Equal([]string{"consul-0", "consul-1", "consul-2", "consul-10"}))
}

func TestWhatAClaimSays(t *testing.T) {
	w := newWorld(t)
	w.claims[0].Annotations[v1alpha1.AnnotationBootstrapExpect] = "3"
	w.claims[1].Annotations[v1alpha1.AnnotationRetiring] = "since then"
	w.claims[1].Annotations[v1alpha1.AnnotationFailed] = "since then"
	deleted(w.claims[2])
	w.pods = w.pods[:1]
	s := w.look()
	w.Expect(s.Servers[0]).To(And(HaveField("Serial", 0), HaveField("Revision", "r"), HaveField("BootstrapExpect", 3),
		HaveField("ID", resources.NodeID(clusterUID, "consul-0"))))
	w.Expect(s.Servers[0].Pod).NotTo(BeNil())
	w.Expect(s.Servers[1]).To(And(HaveField("Retiring", true), HaveField("Failed", true), HaveField("ClaimDeleting", false)))
	w.Expect(s.Servers[1].Pod).To(BeNil())
	w.Expect(s.Servers[2]).To(And(HaveField("Retiring", false), HaveField("Failed", false), HaveField("ClaimDeleting", true)))
}

// Servers that were given up within the hour count, even if their claims were retired since.
func TestReplacementsLeft(t *testing.T) {
	failed := func(c *v1alpha1.ConsulCluster, name, at string) *corev1.PersistentVolumeClaim {
		lost := claim(c, name)
		lost.Annotations[v1alpha1.AnnotationFailed] = at
		lost.Labels[v1alpha1.LabelRetired] = v1alpha1.RetiredFailed
		return lost
	}
	ago := func(d time.Duration) string { return now.Add(-d).Format(time.RFC3339) }
	for name, test := range map[string]struct {
		change func(w *world)
		left   int
	}{
		"nobody failed": {func(*world) {}, 3},
		"a minute ago": {
			func(w *world) { w.claims = append(w.claims, failed(w.cluster, "consul-7", ago(time.Minute))) }, 2,
		},
		"59 minutes ago": {
			func(w *world) { w.claims = append(w.claims, failed(w.cluster, "consul-7", ago(59*time.Minute))) }, 2,
		},
		"an hour ago": {
			func(w *world) { w.claims = append(w.claims, failed(w.cluster, "consul-7", ago(time.Hour))) }, 3,
		},
		"a server that still retires": {
			func(w *world) { w.claims[0].Annotations[v1alpha1.AnnotationFailed] = ago(time.Minute) }, 2,
		},
		"one of a former cluster": {
			func(w *world) { w.claims = append(w.claims, failed(former(w.cluster), "consul-7", ago(time.Minute))) }, 3,
		},
		"nobody knows when": {
			func(w *world) { w.claims = append(w.claims, failed(w.cluster, "consul-7", "yesterday")) }, 3,
		},
		"never less than none": {
			func(w *world) {
				w.cluster.Spec.FailureReplacement.MaxPerHour = 1
				w.claims = append(w.claims, failed(w.cluster, "consul-7", ago(time.Minute)), failed(w.cluster, "consul-8", ago(time.Minute)))
			}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.change(w)
			w.Expect(w.look().Spec.ReplacementsLeft).To(Equal(test.left))
		})
	}
}

// Volumes of failed servers are kept until a person deletes them.
func TestFailedVolumes(t *testing.T) {
	w := newWorld(t)
	kept := func(c *v1alpha1.ConsulCluster, name, how string) *corev1.PersistentVolumeClaim {
		claim := claim(c, name)
		claim.Labels[v1alpha1.LabelRetired] = how
		return claim
	}
	w.claims = append(w.claims,
		kept(w.cluster, "consul-9", v1alpha1.RetiredFailed), kept(w.cluster, "consul-8", v1alpha1.RetiredFailed),
		kept(w.cluster, "consul-7", v1alpha1.RetiredGracefully), kept(former(w.cluster), "consul-6", v1alpha1.RetiredFailed),
		deleted(kept(w.cluster, "consul-5", v1alpha1.RetiredFailed)))
	s := w.look()
	w.Expect(s.FailedVolumes).To(Equal([]string{"consul-8", "consul-9"}))
	w.Expect(s.Kept).To(HaveExactElements(
		HaveField("Name", "consul-5"), HaveField("Name", "consul-7"), HaveField("Name", "consul-8"), HaveField("Name", "consul-9")))
}

func TestOrphans(t *testing.T) {
	w := newWorld(t)
	pending := func(name string) *corev1.Pod {
		p := pod(w.cluster, name, "")
		p.Status.Phase = corev1.PodPending
		return p
	}
	retained := claim(w.cluster, "consul-8")
	retained.Labels[v1alpha1.LabelRetired] = v1alpha1.RetiredGracefully
	w.claims = append(w.claims, retained, claim(w.cluster, "consul-3"))
	ended := pod(w.cluster, "consul-12", "10.0.0.12")
	ended.Status.Phase = corev1.PodSucceeded
	w.pods = append(w.pods, pending("consul-9"), pending("consul-8"), pending("consul-3"), deleted(pending("consul-10")),
		pod(w.cluster, "consul-11", "10.0.0.11"), ended)
	s := w.look()
	w.Expect(s.Orphans).To(Equal([]string{"consul-12", "consul-8", "consul-9"}),
		"neither one that runs or stops, nor one with a claim")
	w.Expect(s.Unclaimed).To(Equal(4), "the disruption budget counts the one that runs, too")
	w.Expect(s.Former).To(BeEmpty())
}

// New servers would join the pods of a former cluster, so those must be gone first.
func TestFormerPods(t *testing.T) {
	w := newWorld(t)
	w.claims, w.pods = nil, nil
	starting := pod(former(w.cluster), "consul-1", "")
	starting.Status.Phase = corev1.PodPending
	stranger := pod(w.cluster, "consul-5", "10.0.0.5")
	stranger.Labels = map[string]string{v1alpha1.LabelCluster: "consul"} // a client agent, maybe
	w.pods = append(w.pods, deleted(pod(former(w.cluster), "consul-2", "10.0.0.2")), starting, stranger)
	s := w.look()
	w.Expect(s.Former).To(Equal([]string{"consul-1", "consul-2"}))
	w.Expect(s.LeftBehind).To(Equal([]string{"consul-1"}), "one that nobody owns goes on for ever, unless it is deleted")
	starting.OwnerReferences = []metav1.OwnerReference{{Name: "consul", UID: "a former one"}}
	w.Expect(w.look().LeftBehind).To(BeEmpty())
	w.Expect(s.Unclaimed).To(Equal(1), "the disruption budget does not count a pod that stops")
	w.Expect(s.Orphans).To(BeEmpty())
	w.Expect(s.Pods).To(BeEmpty())
}

// A pod of a former cluster is not that of the server whose name it has.
func TestAFormerPodIsNotTheServers(t *testing.T) {
	w := newWorld(t)
	w.pods[0] = pod(former(w.cluster), "consul-0", "10.0.0.0")
	s := w.look()
	w.Expect(s.Servers[0].Pod).To(BeNil())
	w.Expect(s.Former).To(Equal([]string{"consul-0"}))
	w.Expect(s.Raft.Known).To(BeFalse(), "nobody asks it")
}

func TestMinAvailable(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.look().MinAvailable).To(BeNil(), "there is no budget yet")

	budget := resources.DisruptionBudget(w.cluster, 3)
	w.others = []client.Object{budget}
	w.Expect(w.look().MinAvailable).To(HaveValue(Equal(3)))

	budget.Spec.MinAvailable = new(intstr.FromString("50%"))
	w.Expect(w.look().MinAvailable).To(HaveValue(BeZero()), "somebody has changed it")

	budget.OwnerReferences[0].UID = "another"
	s := w.look()
	w.Expect(s.MinAvailable).To(BeNil(), "it is somebody else's")
	w.Expect(s.Budget).To(BeNil())
}

func TestRouted(t *testing.T) {
	w := newWorld(t)
	yes, no := true, false
	endpoint := func(ip string, ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: ready}}
	}
	slice := func(service string, endpoints ...discoveryv1.Endpoint) client.Object {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
			Name: service + "-x", Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: service},
		}, Endpoints: endpoints}
	}
	w.others = append(w.others,
		slice("consul", endpoint("10.0.0.0", &yes), endpoint("10.0.0.1", &no)),
		slice("consul-join", endpoint("10.0.0.1", &yes)))
	s := w.look()
	w.Expect(s.Servers[0].Routed).To(BeTrue())
	w.Expect(s.Servers[1].Routed).To(BeFalse(), "only the client Service counts")
	w.Expect(s.Servers[2].Routed).To(BeFalse())

	w.others = []client.Object{slice("consul", endpoint("10.0.0.2", nil))}
	w.Expect(w.look().Servers[2].Routed).To(BeTrue(), "unknown is to be read as ready")
}

// On a dual-stack cluster the Service may have addresses of the other family, or of both. Each family has a slice of its own,
// which is not updated together with the other one.
func TestRoutedByTheOtherFamily(t *testing.T) {
	w := newWorld(t)
	for i, pod := range w.pods {
		pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}, {IP: fmt.Sprintf("fd00::%d", i)}}
	}
	slice := func(family discoveryv1.AddressType, address string) client.Object {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name: "consul-" + strings.ToLower(string(family)), Namespace: "default",
				Labels: map[string]string{discoveryv1.LabelServiceName: "consul"},
			},
			AddressType: family, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{address}}},
		}
	}
	w.others = []client.Object{slice(discoveryv1.AddressTypeIPv4, "10.0.0.0"), slice(discoveryv1.AddressTypeIPv6, "fd00::1")}
	s := w.look()
	w.Expect(s.Servers[0].Routed).To(BeTrue(), "its IPv4 address still gets connections")
	w.Expect(s.Servers[1].Routed).To(BeTrue(), "its IPv6 address still gets connections")
	w.Expect(s.Servers[2].Routed).To(BeFalse())
}

func TestSpec(t *testing.T) {
	w := newWorld(t)
	w.cluster.Annotations[v1alpha1.AnnotationTransferLeadership] = "consul-2"
	w.cluster.Spec.Update = v1alpha1.Update{
		Type: v1alpha1.UpdateInPlace, MaxSurge: 2, LeaderStableFor: &metav1.Duration{Duration: 10 * time.Second},
	}
	w.cluster.Spec.FailureReplacement.After = &metav1.Duration{Duration: 5 * time.Minute}
	w.cluster.Spec.Paused = true
	w.Expect(w.look().Spec).To(Equal(plan.Spec{
		Replicas: 3, MaxSurge: 2, InPlace: true, LeaderStableFor: 10 * time.Second, Revision: resources.Revision(w.cluster),
		Paused: true, Bootstrapped: true, NextSerial: 3, ReplaceFailedAfter: 5 * time.Minute, ReplacementsLeft: 3,
		Transfer: &plan.TransferRequest{To: "consul-2"}, Object: "consul -n default",
	}))

	w.cluster.Annotations = nil
	spec := w.look().Spec
	w.Expect(spec.Bootstrapped).To(BeFalse())
	w.Expect(spec.Transfer).To(BeNil())
	w.Expect(spec.NextSerial).To(Equal(3), "after the claims that are there")
}

// What Kubernetes does not say is not guessed.
func TestWithoutKubernetesThereIsNoPicture(t *testing.T) {
	for kind, is := range map[string]func(client.ObjectList) bool{
		"volume claims":   func(l client.ObjectList) bool { _, is := l.(*corev1.PersistentVolumeClaimList); return is },
		"pods":            func(l client.ObjectList) bool { _, is := l.(*corev1.PodList); return is },
		"endpoint slices": func(l client.ObjectList) bool { _, is := l.(*discoveryv1.EndpointSliceList); return is },
	} {
		w := newWorld(t)
		o := w.observer()
		o.Reader = interceptor.NewClient(o.Reader.(client.WithWatch), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
				if is(l) {
					return errSay
				}
				return c.List(ctx, l, opts...)
			},
		})
		_, err := o.Observe(t.Context(), w.cluster)
		w.Expect(err).To(MatchError("listing " + kind + ": not today"))
	}
}
