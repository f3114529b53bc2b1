package observe_test

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// left is a claim that a former cluster with a UID has left, after changes.
func left(uid types.UID, name string, changes ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: "default", UID: uid}}
	claim := resources.Claim(c, name, nil)
	for _, change := range changes {
		change(claim)
	}
	return claim
}

// noted changes an annotation of a claim.
func noted(key, value string) func(*corev1.PersistentVolumeClaim) {
	return func(claim *corev1.PersistentVolumeClaim) { claim.Annotations[key] = value }
}

func ownedBy(kind string) func(*corev1.PersistentVolumeClaim) {
	return func(claim *corev1.PersistentVolumeClaim) {
		claim.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "x/v1", Kind: kind, Name: "consul", UID: "theirs", Controller: new(true)},
		}
	}
}

// adopts is a new cluster that is to take over the volumes of a former one.
func adopts(t *testing.T, claims ...*corev1.PersistentVolumeClaim) *world {
	t.Helper()
	w := newWorld(t)
	w.claims, w.pods, w.cluster.Annotations = claims, nil, nil
	w.cluster.Spec.Bootstrap.FromVolumes = &v1alpha1.FormerVolumes{}
	return w
}

func TestTheFormerClusterWhoseVolumesAreTakenOver(t *testing.T) {
	all := func(claims ...*corev1.PersistentVolumeClaim) []*corev1.PersistentVolumeClaim { return claims }
	retired := func(claim *corev1.PersistentVolumeClaim) {
		claim.Labels[v1alpha1.LabelRetired] = v1alpha1.RetiredFailed
	}
	unowned := func(claim *corev1.PersistentVolumeClaim) { claim.OwnerReferences = nil }
	unlabeled := func(claim *corev1.PersistentVolumeClaim) { delete(claim.Labels, v1alpha1.LabelClusterUID) }
	found := func(of string, servers ...string) *plan.FormerVolumes {
		return &plan.FormerVolumes{Of: of, Identity: of, Servers: servers}
	}
	missing := func(message string) *plan.FormerVolumes {
		return &plan.FormerVolumes{Missing: &plan.Problem{Reason: reason.InvalidSpec, Message: "spec.bootstrap.fromVolumes" + message}}
	}
	none := missing(": no former cluster of this name has left volume claims in this namespace")
	for name, test := range map[string]struct {
		claims []*corev1.PersistentVolumeClaim
		wanted string
		seen   *plan.FormerVolumes
	}{
		"no claims":          {nil, "", none},
		"one former cluster": {all(left("a", "consul-4"), left("a", "consul-2")), "", found("a", "consul-2", "consul-4")},
		"the one that is asked for": {
			all(left("a", "consul-0"), left("b", "consul-1"), left("b", "consul-2")), "b", found("b", "consul-1", "consul-2"),
		},
		"two of them": {
			all(left("b", "consul-0"), left("a", "consul-1")), "",
			missing(".clusterUID: there are volume claims of more than one former cluster: a, b"),
		},
		"one that is not there": {
			all(left("b", "consul-0"), left("a", "consul-1")), "c",
			missing(".clusterUID: there are no volume claims of a former cluster with this UID; there are those of a, b"),
		},
		"one that is not there, nor is another one": {
			nil, "c", missing(".clusterUID: there are no volume claims of a former cluster with this UID; there are those of none"),
		},
		"the rest were set aside, or are being deleted": {
			all(left("a", "consul-0"), left("a", "consul-1", retired), deleted(left("a", "consul-2"))), "", found("a", "consul-0"),
		},
		"all were set aside":         {all(left("a", "consul-0", retired)), "", none},
		"all are being deleted":      {all(deleted(left("a", "consul-0"))), "", none},
		"claims of a StatefulSet":    {all(left("a", "consul-0", ownedBy("StatefulSet"))), "", none},
		"nobody has an owner":        {all(left("a", "consul-0", unowned)), "", found("a", "consul-0")},
		"nobody knows of whom":       {all(left("a", "consul-0", unlabeled)), "", none},
		"names that are no servers'": {all(left("a", "consul-data"), left("a", "consul-07")), "", none},
		"it had taken them over, too": {
			all(left("b", "consul-0", noted(v1alpha1.AnnotationIdentity, "a"))), "",
			&plan.FormerVolumes{Of: "b", Identity: "a", Servers: []string{"consul-0"}},
		},
		"an older operator left them": {all(left("a", "consul-0", noted(v1alpha1.AnnotationIdentity, ""))), "", found("a", "consul-0")},
		"they were that of a, and of b": {
			all(left("b", "consul-0"), left("b", "consul-1", noted(v1alpha1.AnnotationIdentity, "a"))), "",
			&plan.FormerVolumes{Of: "b", Identity: "a", Servers: []string{"consul-0", "consul-1"}, Missing: &plan.Problem{
				Reason: reason.InvalidSpec, Message: "spec.bootstrap.fromVolumes: the annotation consuloperator.io/identity of volume " +
					"claim consul-1 differs from that of others: restore it",
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := adopts(t, test.claims...)
			w.cluster.Spec.Bootstrap.FromVolumes.ClusterUID = test.wanted
			s := w.look()
			w.Expect(s.Spec.FormerVolumes).To(Equal(test.seen))
			w.Expect(s.Servers).To(BeEmpty())
			w.Expect(s.Spec.Bootstrapped).To(BeFalse())
		})
	}
}

// Consul does not read what a newer minor version has written.
func TestVolumesOfANewerVersion(t *testing.T) {
	for name, test := range map[string]struct {
		wrote, allowed string
		refused        bool
	}{
		"nobody knows":                {"", "", false},
		"the same":                    {"1.22.7", "", false},
		"an older one":                {"1.21.0", "", false},
		"a newer patch":               {"1.22.9", "", false},
		"a newer minor version":       {"1.23.0", "", true},
		"that was allowed":            {"1.23.0", "1.22.7", false},
		"that was allowed to another": {"1.23.0", "1.22.6", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := adopts(t, left("a", "consul-0", noted(v1alpha1.AnnotationVersion, test.wrote)), left("a", "consul-1"))
			if test.allowed != "" {
				w.cluster.Annotations = map[string]string{v1alpha1.AnnotationAllowDowngrade: test.allowed}
			}
			former := w.look().Spec.FormerVolumes
			w.Expect(former.Servers).To(HaveLen(2))
			if !test.refused {
				w.Expect(former.Missing).To(BeNil())
				return
			}
			w.Expect(former.Missing).To(Equal(&plan.Problem{Reason: reason.VersionDowngrade, Message: "spec.version: 1.22.7 is a " +
				"downgrade, Consul 1.23.0 has written the volume of consul-0"}))
		})
	}
}

// What has begun goes on, whatever the spec says by then, until no volume is left.
func TestVolumesAreBeingTakenOver(t *testing.T) {
	recorded := func(of, by string) func(w *world) {
		return func(w *world) {
			w.cluster.Annotations = map[string]string{
				v1alpha1.AnnotationAdopting: of, v1alpha1.AnnotationIdentity: of, v1alpha1.AnnotationRecordsOf: by,
			}
		}
	}
	status := func(of, by string) func(w *world) {
		return func(w *world) { w.cluster.Status.Adopted = &v1alpha1.Adopted{By: by, Identity: of, Of: of} }
	}
	own := string(clusterUID)
	for name, test := range map[string]struct {
		change  func(w *world)
		of      string
		servers []string
	}{
		"recorded":                        {recorded("a", own), "a", []string{"consul-1", "consul-2"}},
		"recorded, and all are":           {recorded("b", own), "b", nil},
		"a copy of one that did":          {recorded("a", "another"), "", nil},
		"the record is lost":              {status("a", own), "a", []string{"consul-1", "consul-2"}},
		"the record is lost, and all are": {status("b", own), "", nil},
		"all were long ago":               {status("", own), "", nil},
		"the status of another cluster":   {status("a", "another"), "", nil},
		"they do not":                     {func(*world) {}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := adopts(t, left("a", "consul-1"), left("a", "consul-2", noted(v1alpha1.AnnotationVersion, "1.23.0")))
			w.cluster.Spec.Bootstrap.FromVolumes = nil
			w.claims = append(w.claims, claim(w.cluster, "consul-0"))
			test.change(w)
			s := w.look()
			if test.of == "" {
				w.Expect(s.Spec.FormerVolumes).To(BeNil())
				return
			}
			w.Expect(s.Spec.Bootstrapped).To(BeTrue())
			w.Expect(s.Spec.FormerVolumes).To(And(HaveField("Of", test.of), HaveField("Recorded", true),
				HaveField("Missing", BeNil()), HaveField("Servers", test.servers)))
		})
	}
}

// A cluster that had a leader has its own data.
func TestAClusterThatExistsTakesNothingOver(t *testing.T) {
	w := adopts(t, left("a", "consul-1"))
	w.cluster.Status.Term = 7
	w.Expect(w.look().Spec.FormerVolumes).To(BeNil())
}

// The ids of servers follow from the cluster that founded them: their volumes say from which, where all else is lost.
func TestWhoseIDsServersHave(t *testing.T) {
	for name, test := range map[string]struct {
		change   func(w *world)
		identity types.UID
	}{
		"its own": {func(*world) {}, clusterUID},
		"recorded": {func(w *world) {
			w.cluster.Annotations = map[string]string{
				v1alpha1.AnnotationIdentity: "b", v1alpha1.AnnotationRecordsOf: string(clusterUID),
			}
		}, "b"},
		"the status says so": {func(w *world) {
			w.cluster.Status.Adopted = &v1alpha1.Adopted{By: string(clusterUID), Identity: "b"}
		}, "b"},
		"the volumes say so": {func(w *world) { w.claims[1].Annotations[v1alpha1.AnnotationIdentity] = "a" }, "a"},
		"those of others do not": {func(w *world) {
			w.claims = append(w.claims, left("a", "consul-7"))
		}, clusterUID},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cluster.Annotations = nil
			test.change(w)
			s := w.look()
			w.Expect(resources.Identity(s.Cluster)).To(Equal(test.identity))
			w.Expect(s.Servers[0].ID).To(Equal(resources.NodeID(test.identity, "consul-0")))
			w.Expect(s.Spec.Bootstrapped).To(Equal(test.identity != clusterUID), "they have data")
		})
	}
}

// What the volumes say is not written into what was read.
func TestWhatWasReadIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.claims[0].Annotations[v1alpha1.AnnotationIdentity] = "a"
	s := w.look()
	w.Expect(s.Cluster.Status.Adopted).To(Equal(&v1alpha1.Adopted{By: string(clusterUID), Identity: "a"}))
	w.Expect(w.cluster.Status.Adopted).To(BeNil())
}
