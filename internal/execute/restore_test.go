package execute_test

import (
	"maps"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// saves is a cluster with a destination of snapshots.
func saves(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.seen.Spec.Invalid = &plan.Problem{} // no revision is to be written
	w.seen.Cluster.Spec.Snapshots = v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{VolumeClaim: &v1alpha1.VolumeClaimDestination{Name: "backups"}},
	}
	return w
}

func (w *world) account(t *testing.T) *corev1.ServiceAccount {
	t.Helper()
	account := &corev1.ServiceAccount{}
	w.Expect(w.client.Get(t.Context(), key("consul-snapshots"), account)).To(Succeed())
	return account
}

func TestTheAccountOfSnapshots(t *testing.T) {
	w := saves(t)
	w.carryOut(t, plan.Decision{})
	account := w.account(t)
	w.Expect(*account.AutomountServiceAccountToken).To(BeFalse(), "it has no rights, and nobody needs them")
	w.Expect(metav1.IsControlledBy(account, w.seen.Cluster)).To(BeTrue())
	account.AutomountServiceAccountToken = nil
	w.Expect(w.client.Update(t.Context(), account)).To(Succeed())
	w.carryOut(t, plan.Decision{})
	w.Expect(*w.account(t).AutomountServiceAccountToken).To(BeFalse())
}

func TestNobodyNeedsTheAccountWithoutADestination(t *testing.T) {
	w := saves(t)
	w.seen.Cluster.Spec.Snapshots.Destination = nil
	w.carryOut(t, plan.Decision{})
	err := w.client.Get(t.Context(), key("consul-snapshots"), &corev1.ServiceAccount{})
	w.Expect(apierrors.IsNotFound(err)).To(BeTrue())
}

// A cloud gives rights by annotations: those that were taken away in the spec go, and those of others stay.
func TestAnnotationsOfTheAccountOfSnapshots(t *testing.T) {
	w := saves(t)
	for _, step := range []struct{ wanted, there map[string]string }{
		{map[string]string{"a": "1", "b": "2"}, map[string]string{"a": "1", "b": "2"}},
		{map[string]string{"a": "1", "b": "2"}, map[string]string{"a": "1", "b": "2", "theirs": "yes"}},
		{map[string]string{"b": "3", "c": "4"}, map[string]string{"b": "3", "c": "4", "theirs": "yes"}},
		{nil, map[string]string{"theirs": "yes"}},
		{map[string]string{"theirs": "no"}, map[string]string{"theirs": "no"}},
		{nil, map[string]string{}},
	} {
		w.seen.Cluster.Spec.Snapshots.ServiceAccountAnnotations = step.wanted
		for range 2 { // the second pass finds nothing to do
			w.carryOut(t, plan.Decision{})
		}
		account := w.account(t)
		_, isOwn := account.Annotations[v1alpha1.AnnotationOwn]
		w.Expect(isOwn).To(Equal(len(step.wanted) > 0))
		delete(account.Annotations, v1alpha1.AnnotationOwn)
		if _, is := step.there["theirs"]; is && account.Annotations["theirs"] == "" { // somebody writes it meanwhile
			account = w.account(t)
			account.Annotations["theirs"] = "yes"
			w.Expect(w.client.Update(t.Context(), account)).To(Succeed())
			delete(account.Annotations, v1alpha1.AnnotationOwn)
		}
		w.Expect(maps.Equal(account.Annotations, step.there)).To(BeTrue(), "%v", account.Annotations)
	}
}

func TestAnAccountOfSomebodyElse(t *testing.T) {
	w := saves(t)
	theirs := resources.SnapshotAccount(w.seen.Cluster)
	theirs.OwnerReferences = controlledBy("StatefulSet")
	w.Expect(w.client.Create(t.Context(), theirs)).To(Succeed())
	_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(failures).To(ConsistOf(And(HaveField("Reason", reason.AttemptFails), HaveField("Message", HaveSuffix(
		"but to StatefulSet consul: delete or rename it, or create the ConsulCluster under another name, or remove "+
			"spec.snapshots.destination")))), "no server needs it")
	w.Expect(w.account(t).Labels).To(Equal(theirs.Labels))
}

// The snapshot stays when the cluster is deleted. One that is there already may not be in the cache yet.
func TestASnapshotIsTaken(t *testing.T) {
	w := saves(t)
	outcome := w.do(t, plan.TakeSnapshot{Name: "consul-before-5"})
	w.Expect(outcome.Event).To(Equal("takes ConsulSnapshot consul-before-5 before the upgrade"))
	taken := &v1alpha1.ConsulSnapshot{}
	w.Expect(w.client.Get(t.Context(), key("consul-before-5"), taken)).To(Succeed())
	w.Expect(taken.Spec.ClusterName).To(Equal("consul"))
	w.Expect(taken.OwnerReferences).To(BeEmpty())
	_, err := w.executor.Do(t.Context(), w.seen, plan.TakeSnapshot{Name: "consul-before-5"})
	w.Expect(err).To(MatchError(execute.ErrStale))
}

// The restore with which a cluster begins goes with it, and is asked for once.
func TestTheFirstRestoreIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.seen.Cluster.Spec.Bootstrap.FromSnapshot = &v1alpha1.SnapshotSource{SnapshotName: "yesterday"}
	ask := plan.AskRestore{Name: "consul-new"}
	for range 2 {
		w.Expect(w.do(t, ask).Event).To(Equal("begins with a snapshot, ConsulRestore consul-new"))
	}
	asked := &v1alpha1.ConsulRestore{}
	w.Expect(w.client.Get(t.Context(), key("consul-new"), asked)).To(Succeed())
	w.Expect(resources.IsFoundingRestore(w.seen.Cluster, asked)).To(BeTrue())
	w.Expect(asked.Spec).To(Equal(v1alpha1.ConsulRestoreSpec{
		ClusterName: "consul", From: v1alpha1.SnapshotSource{SnapshotName: "yesterday"}, SkipSnapshot: true,
	}))

	for what, test := range map[string]struct {
		owners []metav1.OwnerReference
		err    error
	}{
		"of a person":         {controlledBy("StatefulSet"), execute.ErrNameTaken},
		"of a former cluster": {controlledBy("ConsulCluster"), execute.ErrStale},
	} {
		asked.OwnerReferences = test.owners
		w.Expect(w.client.Update(t.Context(), asked)).To(Succeed(), what)
		_, err := w.executor.Do(t.Context(), w.seen, ask)
		w.Expect(err).To(MatchError(test.err), what)
	}
}

// A cluster makes way for one ConsulRestore, by its name and its UID.
func TestARestoreIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.do(t, plan.BeginRestore{Name: "today", UID: "u1"}).Event).To(Equal(
		"restores a snapshot, ConsulRestore today: no server is added or replaced until it has ended"))
	w.Expect(w.annotations(t)).To(HaveKeyWithValue(v1alpha1.AnnotationRestoring, "today u1"))
	w.look(t)
	today := &v1alpha1.ConsulRestore{ObjectMeta: metav1.ObjectMeta{Name: "today", UID: "u1"}}
	w.Expect(resources.HasWay(w.seen.Cluster, today)).To(BeTrue())
	today.UID = "u2"
	w.Expect(resources.HasWay(w.seen.Cluster, today)).To(BeFalse())

	w.do(t, plan.BeginRestore{Name: "tomorrow", UID: "u3"})
	w.Expect(w.annotations(t)).To(HaveKeyWithValue(v1alpha1.AnnotationRestoring, "tomorrow u3"), "it takes the place of the first")
	w.look(t)
	w.Expect(w.do(t, plan.EndRestore{}).Event).To(Equal("the restore is over"))
	w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationRestoring))
}

func TestThatAClusterBeginsWithASnapshotIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.do(t, plan.BeginFounding{})
	w.Expect(w.annotations(t)).To(And(HaveKeyWithValue(v1alpha1.AnnotationFounding, "true"),
		HaveKeyWithValue(v1alpha1.AnnotationRecordsOf, string(clusterUID))))
	w.look(t)
	w.do(t, plan.EndFounding{})
	w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationFounding))
}

// Consul has the tokens of the snapshot: former ones are revoked once more, and DNS is granted or taken once more.
func TestTokensAfterARestore(t *testing.T) {
	for _, dns := range []bool{true, false} {
		w, _ := tokenWorld(t)
		w.do(t, plan.BeginRestore{Name: "today", UID: "u1"})
		secret := w.secret(t, "consul-acl-tokens")
		resources.SetTokensRevoked(secret, 7)
		resources.SetDNSGranted(secret, dns)
		w.Expect(w.client.Update(t.Context(), secret)).To(Succeed())
		held := secret.Data
		w.seeTokens(t)
		w.seen.Cluster.Spec.ACLs.DNS = dns
		w.do(t, plan.EndRestore{})
		after := w.secret(t, "consul-acl-tokens")
		w.Expect(resources.TokensRevokedIn(after)).To(BeZero())
		w.Expect(resources.IsDNSGranted(after)).To(Equal(!dns), "not what is wanted: so it is done")
		w.Expect(after.Data).To(Equal(held))
		w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationRestoring))
	}
}

// The record goes last: as long as the Secret is not put right, the restore is not over.
func TestARestoreThatIsNotOver(t *testing.T) {
	w, _ := tokenWorld(t)
	w.do(t, plan.BeginRestore{Name: "today", UID: "u1"})
	w.seeTokens(t)
	w.touch(t, w.seen.TokensSecret)
	_, err := w.executor.Do(t.Context(), w.seen, plan.EndRestore{})
	w.Expect(err).To(MatchError(execute.ErrStale))
	w.Expect(w.annotations(t)).To(HaveKeyWithValue(v1alpha1.AnnotationRestoring, "today u1"))
}

// An annotation that is not wanted any more goes, also if it was there from the beginning.
func TestAnAccountThatWasCreatedWithAnAnnotation(t *testing.T) {
	w := saves(t)
	w.seen.Cluster.Spec.Snapshots.ServiceAccountAnnotations = map[string]string{"a": "1"}
	w.carryOut(t, plan.Decision{})
	w.seen.Cluster.Spec.Snapshots.ServiceAccountAnnotations = nil
	w.carryOut(t, plan.Decision{})
	w.Expect(w.account(t).Annotations).To(BeEmpty())
}
