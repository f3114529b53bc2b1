package integration

import (
	"maps"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Somebody deletes a ConsulCluster by mistake, and its volumes are retained. The same manifest with one more line brings it back:
// with all data, and with the node ids that the data has.
func TestAClusterThatWasDeletedComesBackWithItsVolumes(t *testing.T) {
	long(t)
	s := begin(t, shared, "deleted", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Storage.Retention = v1alpha1.RetentionRetain
	})
	s.put("before", "kept")
	s.until("volumes are retained", func(c *v1alpha1.ConsulCluster) bool { return c.Status.VolumesRetained })
	ids := s.ids()
	s.end(0)
	former := s.cluster()
	s.Expect(s.Client.Delete(t.Context(), former)).To(Succeed())
	s.Eventually(func() int { return s.count(&corev1.PodList{}) }, 2*time.Minute, 100*time.Millisecond).Should(BeZero())

	again := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: former.Name, Namespace: former.Namespace}, Spec: former.Spec,
	}
	again.Spec.Bootstrap.FromVolumes = &v1alpha1.FormerVolumes{}
	back := &story{WithT: s.WithT, Scene: shared.Scene(client.ObjectKeyFromObject(again)), t: t}
	back.Expect(back.Create(t.Context(), again)).To(Succeed())
	back.reach("back with its volumes", 4*time.Minute)
	back.Expect(back.get("before")).To(Equal("kept"))
	back.Expect(back.ids()).To(Equal(ids))
	back.expectCatalog()

	back.Expect(back.Observe(t.Context(), 3)).To(Succeed())
	back.patch(toVersion(newest)) // new servers have ids of the same kind
	back.reach("upgraded", 4*time.Minute)
	back.Expect(back.get("before")).To(Equal("kept"))
	back.expectNoViolation(back.Observer.Timeline())
}

// Of a deleted cluster one volume is left, and a backup has brought it back: its claim is a new one. A person gives the others
// up, and the cluster goes on with what the one has.
func TestAClusterComesBackWithOneOfItsVolumes(t *testing.T) {
	long(t)
	s := begin(t, shared, "rest", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Storage.Retention = v1alpha1.RetentionRetain
	})
	s.put("before", "kept")
	s.until("volumes are retained", func(c *v1alpha1.ConsulCluster) bool { return c.Status.VolumesRetained })
	ids, survivor := s.ids(), s.servers()[1]
	s.end(0)
	former := s.cluster()
	for _, server := range s.servers() {
		s.signal(server, syscall.SIGSTOP) // none leaves, so the one has the others for voters
	}
	s.Expect(s.Client.Delete(t.Context(), former)).To(Succeed())
	s.Eventually(func() int { return s.count(&corev1.PodList{}) }, 2*time.Minute, 100*time.Millisecond).Should(BeZero())
	for _, server := range former.Status.Servers {
		s.bringBack(server.Name, server.Name == survivor)
	}

	again := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: former.Name, Namespace: former.Namespace}, Spec: former.Spec,
	}
	again.Spec.Bootstrap.FromVolumes = &v1alpha1.FormerVolumes{}
	back := &story{WithT: s.WithT, Scene: shared.Scene(client.ObjectKeyFromObject(again)), t: t}
	back.Expect(back.Create(t.Context(), again)).To(Succeed())
	asked := regexp.MustCompile(`accept-loss-of=(\S+)`)
	var lost []string // one that left before the others were gone is no voter any more
	back.until("the quorum is lost", func(c *v1alpha1.ConsulCluster) bool {
		ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Reason != string(reason.QuorumLost) {
			return false
		}
		lost = asked.FindStringSubmatch(ready.Message)
		return lost != nil
	})
	back.Expect(lost[1]).NotTo(ContainSubstring(survivor))
	back.patch(annotated(v1alpha1.AnnotationAcceptLoss, lost[1]))
	back.reach("back with one of its volumes", 4*time.Minute)
	back.Expect(back.get("before")).To(Equal("kept"))
	back.Expect(back.ids()).To(HaveKeyWithValue(survivor, ids[survivor]))
	back.expectCatalog()
}

// bringBack deletes a volume claim, and creates it again for the same volume, as a backup does that has it: with its labels and
// annotations, and without its owner. One that does not stay goes with its volume.
func (s *story) bringBack(name string, stays bool) {
	s.t.Helper()
	claim := s.claim(name)
	volume := &corev1.PersistentVolume{}
	s.Expect(s.Client.Get(s.t.Context(), client.ObjectKey{Name: claim.Spec.VolumeName}, volume)).To(Succeed())
	if stays {
		kept := volume.DeepCopy()
		kept.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		s.Expect(s.Client.Patch(s.t.Context(), kept, client.MergeFrom(volume))).To(Succeed())
	}
	s.Expect(s.Client.Delete(s.t.Context(), claim)).To(Succeed())
	s.Eventually(func() error {
		return s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(claim), &corev1.PersistentVolumeClaim{})
	}, time.Minute, 100*time.Millisecond).ShouldNot(Succeed())
	if !stays {
		return
	}
	s.Expect(s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(volume), volume)).To(Succeed())
	free := volume.DeepCopy()
	free.Spec.ClaimRef = nil
	s.Expect(s.Client.Patch(s.t.Context(), free, client.MergeFrom(volume))).To(Succeed())
	maps.DeleteFunc(claim.Annotations, func(key, _ string) bool { // it is bound anew
		return strings.HasPrefix(key, "pv.kubernetes.io/")
	})
	s.Expect(s.Client.Create(s.t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: claim.Name, Namespace: claim.Namespace, Labels: claim.Labels, Annotations: claim.Annotations,
		},
		Spec: claim.Spec,
	})).To(Succeed())
}

// ids are the node ids of the servers, by name.
func (s *story) ids() map[string]string {
	s.t.Helper()
	ids := map[string]string{}
	for _, server := range s.cluster().Status.Servers {
		ids[server.Name] = server.ID
	}
	return ids
}

// Servers move to volumes of another class, and to smaller ones, one after the other.
func TestServersMoveToOtherVolumes(t *testing.T) {
	long(t)
	s := begin(t, shared, "moving", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge, spec.Storage.Size = 3, resource.MustParse("2Gi")
	})
	usual := &storagev1.StorageClass{}
	s.Expect(s.Client.Get(t.Context(), client.ObjectKey{Name: "standard"}, usual)).To(Succeed())
	other := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: "other"}, Provisioner: usual.Provisioner, VolumeBindingMode: usual.VolumeBindingMode,
		ReclaimPolicy: usual.ReclaimPolicy, AllowVolumeExpansion: usual.AllowVolumeExpansion,
	}
	s.Expect(s.Client.Create(t.Context(), other)).To(Succeed())
	t.Cleanup(func() { _ = s.Client.Delete(t.Context(), other) })
	s.Observer.AllowLeaderChanges(3)

	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Storage.StorageClassName = &other.Name })
	s.until("servers move", func(c *v1alpha1.ConsulCluster) bool { return len(c.Status.Servers) > 3 })
	s.reach("on volumes of the other class", 4*time.Minute)
	s.expectVolumes("other", "2Gi")

	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Storage.Size = resource.MustParse("1Gi") })
	s.until("servers move", func(c *v1alpha1.ConsulCluster) bool { return len(c.Status.Servers) > 3 })
	s.reach("on smaller volumes", 4*time.Minute)
	s.expectVolumes("other", "1Gi")

	grown := s.claim(s.servers()[0])
	patch := client.MergeFrom(grown.DeepCopy())
	grown.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("3Gi")
	s.Expect(s.Client.Patch(t.Context(), grown, patch)).To(Succeed(), "somebody grows one by hand")
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Storage.StorageClassName = &usual.Name })
	s.reach("on volumes of the usual class", 4*time.Minute)
	s.expectVolumes("standard", "3Gi")
	s.end(3)
}

func (s *story) expectVolumes(class, size string) {
	s.t.Helper()
	for _, name := range s.servers() {
		claim := s.claim(name)
		s.Expect(claim.Spec.StorageClassName).To(HaveValue(Equal(class)), name)
		s.Expect(claim.Spec.Resources.Requests.Storage().String()).To(Equal(size), name)
	}
}

// A volume that fills up is told of before it is full, and grows by itself if that is allowed. An empty server has 64 MiB of log.
func TestVolumesThatFillUp(t *testing.T) {
	long(t)
	s := begin(t, shared, "full", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Storage.Size = resource.MustParse("72Mi")
	})
	s.Observer.AllowLeaderChanges(0)
	space := func(status metav1.ConditionStatus) func(*v1alpha1.ConsulCluster) bool {
		return func(c *v1alpha1.ConsulCluster) bool {
			return meta.IsStatusConditionPresentAndEqual(c.Status.Conditions, v1alpha1.ConditionVolumeSpace, status)
		}
	}
	s.until("volumes fill up", space(metav1.ConditionFalse))
	for _, server := range s.cluster().Status.Servers {
		s.Expect(server.VolumeUsed).To(HaveValue(BeNumerically(">=", 80)), server.Name)
	}
	s.patch(func(c *v1alpha1.ConsulCluster) {
		c.Spec.Storage.AutoGrow = &v1alpha1.AutoGrow{Limit: resource.MustParse("3Gi")}
	})
	s.within(4*time.Minute, "they have grown", space(metav1.ConditionTrue))
	for _, name := range s.servers() {
		s.Expect(s.claim(name).Spec.Resources.Requests.Storage().String()).To(Equal("1096Mi"), name)
	}
	s.end(0)
}
