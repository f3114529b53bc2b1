package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// I7: a cache that does not have the last status yet would make a pass believe that there is nothing to tell, and nothing would
// wake the next one: the status would be wrong until something else happens.
func TestAPassWaitsForTheStatusOfTheLastOne(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	cached := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "consul", ResourceVersion: "1009"}}
	now := time.Now()
	r := &ConsulClusterReconciler{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(cached).Build(), Now: func() time.Time { return now },
	}
	last := cached.DeepCopy()
	last.ResourceVersion = "1010"
	r.written.note(last, now)
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(cached)}
	g.Expect(r.Reconcile(t.Context(), request)).To(Equal(ctrl.Result{RequeueAfter: requeueSoon}))

	for what, test := range map[string]struct {
		version string
		late    time.Duration
		wait    time.Duration
	}{
		"the cache is behind":        {"1009", 0, requeueSoon},
		"by one digit":               {"999", 0, requeueSoon},
		"for long":                   {"1009", 4 * time.Second, time.Second},
		"it has it":                  {"1010", 0, 0},
		"somebody has written since": {"1011", 0, 0},
		"it never comes":             {"7", forgetAfter, 0},
		"versions are no numbers":    {"x", 0, 0},
	} {
		r.written.note(last, now)
		cached.ResourceVersion = test.version
		g.Expect(r.written.untilSeen(cached, now.Add(test.late))).To(Equal(test.wait), what)
	}
	r.written.note(last, now)
	r.written.forget(request.NamespacedName)
	cached.ResourceVersion = "1"
	g.Expect(r.written.untilSeen(cached, now)).To(BeZero(), "another cluster of this name")
}
