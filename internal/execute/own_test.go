package execute_test

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// surrounding are the objects around the servers, as Sync creates them.
func (w *world) surrounding() map[string]client.Object {
	c := w.seen.Cluster
	secret, err := resources.RevisionSecret(c)
	w.Expect(err).NotTo(HaveOccurred())
	return map[string]client.Object{
		"Secret":              secret,
		"ServiceAccount":      resources.ServiceAccount(c),
		"join Service":        resources.JoinService(c),
		"client Service":      resources.ClientService(c),
		"PodDisruptionBudget": resources.DisruptionBudget(c, 1),
		"NetworkPolicy":       resources.NetworkPolicy(c, w.executor.Self),
	}
}

// filtered lets the executor see through its cache only what has the operator's label, as in reality.
func (w *world) filtered() {
	w.executor.Client = interceptor.NewClient(w.client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if err := c.Get(ctx, key, o, opts...); err != nil {
				return err
			}
			if o.GetLabels()[v1alpha1.LabelCluster] == "" {
				return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
			}
			return nil
		},
	})
}

func (w *world) read(t *testing.T, like client.Object) client.Object {
	t.Helper()
	live := like.DeepCopyObject().(client.Object)
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(like), live)).To(Succeed())
	return live
}

// What has the right name and is somebody else's is neither used, nor changed, nor overlooked.
func TestNamesThatAreTaken(t *testing.T) {
	for what, disown := range map[string]func(client.Object){
		"nobody's":       func(o client.Object) { o.SetLabels(nil); o.SetOwnerReferences(nil) },
		"somebody's":     func(o client.Object) { o.SetLabels(nil); o.SetOwnerReferences(controlledBy("StatefulSet")) },
		"left behind":    func(o client.Object) { o.GetLabels()[v1alpha1.LabelClusterUID] = "former"; o.SetOwnerReferences(nil) },
		"with our label": func(o client.Object) { o.SetOwnerReferences(controlledBy("StatefulSet")) },
	} {
		for kind := range newWorld(t).surrounding() {
			t.Run(what+" "+kind, func(t *testing.T) {
				w := newWorld(t)
				w.filtered()
				object := w.surrounding()[kind]
				disown(object)
				w.Expect(w.client.Create(t.Context(), object)).To(Succeed())
				before := w.read(t, object)
				_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
				w.Expect(err).NotTo(HaveOccurred())
				w.Expect(failures).To(ConsistOf(And(HaveField("Reason", reason.NameTaken),
					HaveField("Message", ContainSubstring(object.GetName()+" exists and does not belong to this cluster")))))
				w.Expect(w.read(t, object)).To(Equal(before))
			})
		}
	}
}

func controlledBy(kind string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: "x/v1", Kind: kind, Name: "consul", UID: "theirs", Controller: new(true)}}
}

// Garbage of a former cluster of the same name goes by itself.
func TestNamesOfAFormerCluster(t *testing.T) {
	w := newWorld(t)
	service := resources.ClientService(w.seen.Cluster)
	service.OwnerReferences = controlledBy("ConsulCluster")
	w.Expect(w.client.Create(t.Context(), service)).To(Succeed())
	_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(err).To(MatchError(execute.ErrStale))
	w.Expect(failures).To(BeEmpty())
}

// An object that lost its labels is in no cache, and is found all the same.
func TestLabelsThatSomebodyTookOff(t *testing.T) {
	for kind := range newWorld(t).surrounding() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.filtered()
			w.seen.Spec.Revision = resources.Revision(w.seen.Cluster)
			wanted := w.surrounding()[kind]
			object := wanted.DeepCopyObject().(client.Object)
			object.SetLabels(map[string]string{"mine": "yes"})
			w.Expect(w.client.Create(t.Context(), object)).To(Succeed())
			w.carryOut(t, plan.Decision{})
			live := w.read(t, wanted)
			w.Expect(live.GetLabels()).To(HaveKeyWithValue("mine", "yes"))
			for key, value := range wanted.GetLabels() {
				w.Expect(live.GetLabels()).To(HaveKeyWithValue(key, value))
			}
		})
	}
}

// An owner that somebody took off comes back: garbage collection counts on it.
func TestOwnersThatSomebodyTookOff(t *testing.T) {
	w := newWorld(t)
	service := resources.ClientService(w.seen.Cluster)
	service.OwnerReferences = nil
	w.Expect(w.client.Create(t.Context(), service)).To(Succeed())
	w.carryOut(t, plan.Decision{})
	w.Expect(metav1.IsControlledBy(w.read(t, service), w.seen.Cluster)).To(BeTrue())
}

func TestAPodWhoseNameIsTaken(t *testing.T) {
	w := newWorld(t)
	w.prepareFounder(t, "consul-1")
	w.Expect(w.client.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "consul-1", Namespace: "default", OwnerReferences: controlledBy("StatefulSet"),
	}})).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.CreatePod{Server: "consul-1"})
	w.Expect(err).To(MatchError(execute.ErrNameTaken))
	w.Expect(err).To(MatchError(ContainSubstring("Pod consul-1 exists and does not belong to this cluster, but to StatefulSet " +
		"consul: delete or rename it, or create the ConsulCluster under another name")))
}

func TestAPodWithoutItsLabels(t *testing.T) {
	w := newWorld(t)
	pod := w.created(t, plan.CreatePod{Server: "consul-1"})
	labels := pod.Labels
	pod.Labels = nil
	w.Expect(w.client.Update(t.Context(), pod)).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.CreatePod{Server: "consul-1"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.read(t, pod).GetLabels()).To(Equal(labels))
	w.Expect(w.read(t, pod).GetUID()).To(Equal(pod.UID), "the server goes on")
}

// A cache may not show a pod that was created before its claim got another revision: it stays what it is.
func TestAPodOfAnotherRevision(t *testing.T) {
	for what, labels := range map[string]func(*corev1.Pod){
		"as it is": func(*corev1.Pod) {}, "without its labels": func(pod *corev1.Pod) { pod.Labels = nil },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			pod := w.created(t, plan.CreatePod{Server: "consul-1"})
			before := pod.Labels
			labels(pod)
			w.Expect(w.client.Update(t.Context(), pod)).To(Succeed())
			w.seen.Cluster.Spec.Version = "1.22.8"
			newer, err := resources.RevisionSecret(w.seen.Cluster)
			w.Expect(err).NotTo(HaveOccurred())
			w.write(t, newer)
			w.seen.Claims["consul-1"].Annotations[v1alpha1.AnnotationRevision] = resources.Revision(w.seen.Cluster)
			_, err = w.executor.Do(t.Context(), w.seen, plan.CreatePod{Server: "consul-1"})
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.read(t, pod).GetLabels()).To(Equal(before))
		})
	}
}

// The server of a claim that is in no list would be taken for a stray.
func TestAClaimWithoutItsLabels(t *testing.T) {
	for what, test := range map[string]struct {
		change func(*corev1.PersistentVolumeClaim)
		found  bool
	}{
		"the cluster's":          {func(*corev1.PersistentVolumeClaim) {}, true},
		"of a StatefulSet":       {func(c *corev1.PersistentVolumeClaim) { c.OwnerReferences = controlledBy("StatefulSet") }, false},
		"nobody knows whose":     {func(c *corev1.PersistentVolumeClaim) { c.OwnerReferences = nil }, false},
		"retained, with its UID": {func(c *corev1.PersistentVolumeClaim) { c.OwnerReferences = nil; withUID(c) }, true},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			claim := w.seen.Claims["consul-1"]
			claim.Labels = map[string]string{}
			test.change(claim)
			w.Expect(w.client.Update(t.Context(), claim)).To(Succeed())
			delete(w.seen.Claims, "consul-1")
			w.carryOut(t, plan.Decision{})
			found := w.claim(t, "consul-1").Labels[v1alpha1.LabelCluster] == "consul"
			w.Expect(found).To(Equal(test.found))
		})
	}
}

func withUID(o client.Object) {
	o.SetLabels(map[string]string{v1alpha1.LabelClusterUID: string(clusterUID)})
}

// Whoever may write Secrets may not create pods by them.
func TestRevisionsOfOthersAreNotRun(t *testing.T) {
	for what, change := range map[string]func(*corev1.Secret){
		"of nobody":        func(s *corev1.Secret) { s.OwnerReferences = nil },
		"of somebody else": func(s *corev1.Secret) { s.OwnerReferences[0].UID, s.OwnerReferences[0].Name = "theirs", "theirs" },
		"not immutable":    func(s *corev1.Secret) { s.Immutable = nil },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			secret := w.prepareFounder(t, "consul-1")
			change(secret)
			w.Expect(w.client.Update(t.Context(), secret)).To(Succeed())
			_, err := w.executor.Do(t.Context(), w.seen, plan.CreatePod{Server: "consul-1"})
			w.Expect(err).To(MatchError(execute.ErrNameTaken))
			w.Expect(apierrors.IsNotFound(w.client.Get(t.Context(), key("consul-1"), &corev1.Pod{}))).To(BeTrue())
		})
	}
}

// The same where the Secret says that it belongs to the cluster: anybody can write that.
func TestSecretsThatHoldSomethingElse(t *testing.T) {
	w := newWorld(t)
	secret := w.prepareFounder(t, "consul-1")
	secret.Data["pod.json"] = []byte(`{"spec": {"containers": [{"name": "consul", "image": "theirs"}]}}`)
	w.Expect(w.client.Update(t.Context(), secret)).To(Succeed())
	create := func() (execute.Outcome, error) {
		outcome, err := w.executor.Do(t.Context(), w.seen, plan.CreatePod{Server: "consul-1"})
		w.Expect(apierrors.IsNotFound(w.client.Get(t.Context(), key("consul-1"), &corev1.Pod{}))).To(BeTrue())
		return outcome, err
	}

	w.seen.Spec.Revision = "another"
	_, err := create()
	w.Expect(err).To(MatchError(ContainSubstring("secret " + secret.Name + " does not hold what the operator wrote")))
	w.Expect(w.read(t, secret)).NotTo(BeNil(), "it may be all that is left of the revision")

	w.seen.Spec.Revision = resources.Revision(w.seen.Cluster)
	outcome, err := create()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(outcome.Event).To(Equal("Secret " + secret.Name + " did not hold what the operator wrote: it is written anew"))
	w.Expect(resources.Digest(w.read(t, secret).(*corev1.Secret))).To(Equal(w.seen.Revisions[0].Digest))
	w.carryOut(t, plan.Decision{Upkeep: []plan.Action{plan.CreatePod{Server: "consul-1"}}})
	w.Expect(w.client.Get(t.Context(), key("consul-1"), &corev1.Pod{})).To(Succeed())
}

// A cluster whose Service is somebody else's creates no server that nobody would find.
func TestNoStepBesideANameThatIsTaken(t *testing.T) {
	w := newWorld(t)
	service := resources.JoinService(w.seen.Cluster)
	service.OwnerReferences, service.Labels = controlledBy("StatefulSet"), nil
	w.Expect(w.client.Create(t.Context(), service)).To(Succeed())
	done, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{Step: plan.MarkFailed{Server: "consul-1"}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(failures).To(ConsistOf(HaveField("Reason", reason.NameTaken)))
	w.Expect(done).To(BeEmpty())
}
