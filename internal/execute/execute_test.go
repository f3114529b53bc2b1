package execute_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

const clusterUID = types.UID("7d9c2f5e-3b8a-4c57-9c55-0f4f0f1f9a01")

// agents counts what Consul is told; nobody ever leads.
type agents struct {
	consul.Agent
	told []string
}

func (a *agents) Leave(context.Context) error              { return a.tell("leave") }
func (a *agents) ForceLeave(context.Context, string) error { return a.tell("force-leave") }
func (a *agents) RemovePeer(context.Context, string) error { return a.tell("remove-peer") }
func (a *agents) Deregister(context.Context, string) error { return a.tell("deregister") }
func (a *agents) TransferLeadership(context.Context, string) error {
	return a.tell("transfer")
}

func (a *agents) tell(what string) error {
	a.told = append(a.told, what)
	return errors.New("not today")
}

// world is an API server with a cluster of two servers, and the picture that an operator has of it.
type world struct {
	*WithT
	client   client.WithWatch
	agents   *agents
	executor *execute.Executor
	seen     *observe.Snapshot
	// deletes are the options of all deletes.
	deletes []client.DeleteOptions
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t), agents: &agents{}}
	scheme := runtime.NewScheme()
	w.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	w.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	cluster := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: "default", UID: clusterUID},
		Spec:       v1alpha1.ConsulClusterSpec{Version: "1.22.7", Replicas: 3},
	}
	objects := []client.Object{cluster}
	for _, name := range []string{"consul-0", "consul-1"} {
		objects = append(objects, claimOf(cluster, name), podOf(cluster, name))
	}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			options := client.DeleteOptions{}
			options.ApplyOptions(opts)
			w.deletes = append(w.deletes, options)
			return c.Delete(ctx, o, opts...)
		},
	}).Build()
	w.executor = &execute.Executor{
		Client: w.client, Live: w.client, Now: time.Now,
		Self: resources.Self{Namespace: "operators", Labels: map[string]string{"app": "consul-operator"}},
		Dial: func(consul.Target) consul.Agent { return w.agents },
	}
	w.look(t)
	return w
}

func claimOf(c *v1alpha1.ConsulCluster, name string) *corev1.PersistentVolumeClaim {
	claim := resources.Claim(c, name, map[string]string{v1alpha1.AnnotationRevision: "r"})
	claim.UID = types.UID("claim-" + name)
	return claim
}

func podOf(c *v1alpha1.ConsulCluster, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Namespace, UID: types.UID("pod-" + name), Labels: resources.Labels(c)},
		Status:     corev1.PodStatus{PodIP: "127.0.0.9"},
	}
}

// look makes the picture of what is there now.
func (w *world) look(t *testing.T) {
	t.Helper()
	w.seen = &observe.Snapshot{
		Cluster: &v1alpha1.ConsulCluster{},
		Claims:  map[string]*corev1.PersistentVolumeClaim{}, Pods: map[string]*corev1.Pod{},
	}
	w.seen.Raft.Leader, w.seen.Spec.Network = "consul-0", plan.Network{Kept: true, SelfKnown: true}
	w.Expect(w.client.Get(t.Context(), key("consul"), w.seen.Cluster)).To(Succeed())
	for _, name := range []string{"consul-0", "consul-1"} {
		w.seen.Claims[name], w.seen.Pods[name] = &corev1.PersistentVolumeClaim{}, &corev1.Pod{}
		w.Expect(w.client.Get(t.Context(), key(name), w.seen.Claims[name])).To(Succeed())
		w.Expect(w.client.Get(t.Context(), key(name), w.seen.Pods[name])).To(Succeed())
	}
}

func key(name string) client.ObjectKey { return client.ObjectKey{Namespace: "default", Name: name} }

// carryOut carries out a decision, of which nothing may fail.
func (w *world) carryOut(t *testing.T, d plan.Decision) {
	t.Helper()
	_, failures, err := w.executor.CarryOut(t.Context(), w.seen, d)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(failures).To(BeEmpty())
}

// touch lets somebody else change an object.
func (w *world) touch(t *testing.T, o client.Object) {
	t.Helper()
	o = o.DeepCopyObject().(client.Object)
	o.SetAnnotations(map[string]string{"touched": "by somebody else"})
	w.Expect(w.client.Update(t.Context(), o)).To(Succeed())
}

// membership are the actions that change who is in the cluster, or lead to it.
var membership = []plan.Action{
	plan.CreateServer{Serial: 2}, plan.MarkRetiring{Server: "consul-1"}, plan.ReleaseClaim{Server: "consul-1"},
	plan.MarkFailed{Server: "consul-1"}, plan.QuarantineClaim{Server: "consul-1"},
	plan.DeletePod{Server: "consul-1"}, plan.DeleteOrphan{Pod: "consul-1"},
	plan.TransferLeadership{From: "consul-0", To: "consul-1"}, plan.Leave{Server: "consul-1"},
	plan.ForceLeave{Node: "gone"}, plan.RemovePeer{ID: "gone", Name: "gone"},
}

// A cache may lag behind: a server may be there, gone, or another one by now.
func TestMembershipIsNotChangedOnAnOldPicture(t *testing.T) {
	for what, change := range map[string]func(*testing.T, *world){
		"a server has changed": func(t *testing.T, w *world) { w.touch(t, w.seen.Claims["consul-0"]) },
		"a server was created": func(t *testing.T, w *world) {
			w.Expect(w.client.Create(t.Context(), claimOf(w.seen.Cluster, "consul-7"))).To(Succeed())
		},
		"a server is gone": func(t *testing.T, w *world) {
			w.Expect(w.client.Delete(t.Context(), w.seen.Claims["consul-0"].DeepCopy())).To(Succeed())
			w.deletes = nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			for _, action := range membership {
				w := newWorld(t)
				change(t, w)
				_, err := w.executor.Do(t.Context(), w.seen, action)
				w.Expect(err).To(MatchError(execute.ErrStale), "%T", action)
				w.Expect(w.agents.told).To(BeEmpty(), "%T", action)
				w.Expect(w.deletes).To(BeEmpty(), "%T", action)
			}
		})
	}
}

// Claims of a former cluster of this name, and retained ones, are no servers: they hold nothing up.
func TestClaimsOfOthersAreNotOurs(t *testing.T) {
	w := newWorld(t)
	former := w.seen.Cluster.DeepCopy()
	former.UID = "a former one"
	w.Expect(w.client.Create(t.Context(), claimOf(former, "consul-7"))).To(Succeed())
	retained := claimOf(w.seen.Cluster, "consul-8")
	retained.Labels[v1alpha1.LabelRetired] = "true"
	w.Expect(w.client.Create(t.Context(), retained)).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.MarkRetiring{Server: "consul-1"})
	w.Expect(err).NotTo(HaveOccurred())
}

// Every write carries the version it was planned from.
func TestWritesOnAnOldPictureAreConflicts(t *testing.T) {
	for _, test := range []struct {
		action plan.Action
		object func(*world) client.Object
	}{
		{plan.RecordBootstrapped{}, func(w *world) client.Object { return w.seen.Cluster }},
		{plan.NameTransferTarget{To: "consul-1"}, func(w *world) client.Object { return w.seen.Cluster }},
		{plan.FinishTransfer{}, func(w *world) client.Object { return w.seen.Cluster }},
		{plan.CreateServer{Serial: 2}, func(w *world) client.Object { return w.seen.Cluster }},
		{plan.SetRevision{Server: "consul-1"}, func(w *world) client.Object { return w.seen.Claims["consul-1"] }},
		{plan.UnmarkRetiring{Server: "consul-1"}, func(w *world) client.Object { return w.seen.Claims["consul-1"] }},
	} {
		w := newWorld(t)
		w.touch(t, test.object(w))
		_, err := w.executor.Do(t.Context(), w.seen, test.action)
		w.Expect(err).To(MatchError(execute.ErrStale), "%T", test.action)
	}
}

func TestDeletesCarryWhatWasSeen(t *testing.T) {
	for _, action := range []plan.Action{
		plan.DeletePod{Server: "consul-1"}, plan.DeleteOrphan{Pod: "consul-1"}, plan.ReleaseClaim{Server: "consul-1"},
	} {
		w := newWorld(t)
		var seen client.Object = w.seen.Pods["consul-1"]
		if _, isClaim := action.(plan.ReleaseClaim); isClaim {
			seen = w.seen.Claims["consul-1"]
		}
		_, err := w.executor.Do(t.Context(), w.seen, action)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.deletes).To(HaveLen(1))
		w.Expect(w.deletes[0].Preconditions).NotTo(BeNil(), "%T", action)
		w.Expect(*w.deletes[0].Preconditions.UID).To(Equal(seen.GetUID()))
		w.Expect(*w.deletes[0].Preconditions.ResourceVersion).To(Equal(seen.GetResourceVersion()))
	}
}

// The volume of a server that was given up is no server any more and goes with the cluster, as all volumes do.
func TestVolumesOfFailedServersAreSetAside(t *testing.T) {
	w := newWorld(t)
	for _, action := range []plan.Action{plan.MarkFailed{Server: "consul-1"}, plan.QuarantineClaim{Server: "consul-1"}} {
		_, err := w.executor.Do(t.Context(), w.seen, action)
		w.Expect(err).NotTo(HaveOccurred())
		w.look(t)
	}
	claim := w.seen.Claims["consul-1"]
	w.Expect(claim.Annotations).To(HaveKey(v1alpha1.AnnotationFailed))
	w.Expect(claim.Labels).To(HaveKeyWithValue(v1alpha1.LabelRetired, v1alpha1.RetiredFailed))
	w.Expect(claim.OwnerReferences).NotTo(BeEmpty())
	w.Expect(observe.Ours(w.seen.Cluster, claim)).To(BeFalse())
	w.Expect(w.deletes).To(BeEmpty())
}

// Both markers of an update in place are written at once, and go at once: with the revision, or without.
func TestMarkersOfAnUpdateInPlace(t *testing.T) {
	for revision, end := range map[string]plan.Action{
		"new": plan.SetRevision{Server: "consul-1"}, "r": plan.UnmarkRetiring{Server: "consul-1"},
	} {
		w := newWorld(t)
		do := func(action plan.Action) map[string]string {
			_, err := w.executor.Do(t.Context(), w.seen, action)
			w.Expect(err).NotTo(HaveOccurred())
			w.look(t)
			return w.seen.Claims["consul-1"].Annotations
		}
		marked := do(plan.MarkRetiring{Server: "consul-1", InPlace: true})
		w.Expect(marked).To(And(HaveKey(v1alpha1.AnnotationRetiring), HaveKey(v1alpha1.AnnotationInPlace)))
		w.seen.Spec.Revision = "new"
		unmarked := do(end)
		w.Expect(unmarked).NotTo(Or(HaveKey(v1alpha1.AnnotationRetiring), HaveKey(v1alpha1.AnnotationInPlace)))
		w.Expect(unmarked).To(HaveKeyWithValue(v1alpha1.AnnotationRevision, revision))
		w.Expect(do(plan.MarkRetiring{Server: "consul-1"})).NotTo(HaveKey(v1alpha1.AnnotationInPlace))
	}
}

// Sync creates the budget, and repairs what somebody else made of it. How many pods it asks for is planned.
func TestTheDisruptionBudget(t *testing.T) {
	w := newWorld(t)
	look := func() *policyv1.PodDisruptionBudget {
		budget := &policyv1.PodDisruptionBudget{}
		w.Expect(w.client.Get(t.Context(), key("consul"), budget)).To(Succeed())
		w.seen.Budget = budget
		return budget
	}
	w.seen.Spec.Invalid = &plan.Problem{} // no revision is to be written
	w.seen.Servers = make([]plan.Server, 2)
	w.seen.Servers[0].Name, w.seen.Servers[1].Name = "consul-0", "consul-1"
	w.carryOut(t, plan.Decision{})
	w.Expect(resources.MinAvailable(look())).To(Equal(2), "all pods: none can be evicted")

	_, err := w.executor.Do(t.Context(), w.seen, plan.SetMinAvailable{Pods: 4})
	w.Expect(err).NotTo(HaveOccurred())
	w.carryOut(t, plan.Decision{})
	w.Expect(resources.MinAvailable(look())).To(Equal(4), "as it was planned")
	_, err = w.executor.Do(t.Context(), w.seen, plan.SetMinAvailable{Pods: 4})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.executor.Do(t.Context(), w.seen, plan.SetMinAvailable{Pods: 5})
	w.Expect(err).To(MatchError(execute.ErrStale), "it has changed since")

	budget := look()
	budget.Spec.MinAvailable, budget.Spec.MaxUnavailable = nil, new(intstr.FromInt32(1))
	w.Expect(w.client.Update(t.Context(), budget)).To(Succeed())
	w.carryOut(t, plan.Decision{})
	w.Expect(resources.MinAvailable(look())).To(Equal(2))
	w.Expect(look().Spec.MaxUnavailable).To(BeNil())
}

// An operator that stops after it has raised the serial wastes one and never uses one twice; what is there already is
// what was wanted.
func TestCreatingAServerTwice(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.client.Create(t.Context(), claimOf(&v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "consul", Namespace: "default", UID: "a former one"},
	}, "consul-2"))).To(Succeed())
	did, err := w.executor.Do(t.Context(), w.seen, plan.CreateServer{Serial: 2})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(did.Event).To(Equal("volume claim consul-2 exists and does not belong to this cluster: it is passed over"))
	w.look(t)
	w.Expect(w.seen.Cluster.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationNextSerial, "3"))

	w.Expect(w.client.Create(t.Context(), claimOf(w.seen.Cluster, "consul-3"))).To(Succeed())
	w.executor.Live = lagging{w.executor.Live}
	did, err = w.executor.Do(t.Context(), w.seen, plan.CreateServer{Serial: 3})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(did.Event).To(HavePrefix("created server consul-3"))
}

// lagging does not list the claim that was created a moment ago.
type lagging struct{ client.Reader }

func (l lagging) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := l.Reader.List(ctx, list, opts...)
	claims := list.(*corev1.PersistentVolumeClaimList)
	claims.Items = slices.DeleteFunc(claims.Items, func(c corev1.PersistentVolumeClaim) bool { return c.Name == "consul-3" })
	return err
}
