package execute_test

import (
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Prometheus gets a token and a PodMonitor while metrics are asked for, and another token after a rotation.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.do(t, plan.SetACLs{Phase: plan.ACLsDeny})
	look := func() {
		t.Helper()
		w.look(t)
		w.seen.TokensSecret, w.seen.Spec.ACLs.Phase = w.secret(t, "consul-acl-tokens"), plan.ACLsDeny
		live := resources.NoPodMonitor(w.seen.Cluster)
		w.seen.PodMonitor = observe.PodMonitor{Possible: true}
		if err := w.client.Get(t.Context(), key(live.GetName()), live); err == nil {
			w.seen.PodMonitor.Live = live
		}
	}
	look()
	w.seen.Cluster.Spec.Metrics.Enabled = true
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	for range 2 {
		look()
		w.carryOut(t, plan.Decision{})
		token := resources.OperatorTokensOf(w.seen.TokensSecret).Metrics
		w.Expect(token).NotTo(BeEmpty())
		w.Expect(w.secret(t, "consul-metrics-token").Data).To(Equal(map[string][]byte{"token": []byte(token)}))
		rotated := w.seen.TokensSecret
		resources.SetTokens(rotated, resources.ManagementTokens{Present: resources.NewManagementToken()})
		w.Expect(w.client.Update(t.Context(), rotated)).To(Succeed())
	}
	look()
	w.Expect(w.seen.PodMonitor.Live).NotTo(BeNil())
	version := w.seen.PodMonitor.Live.GetResourceVersion()
	w.carryOut(t, plan.Decision{})
	look()
	w.Expect(w.seen.PodMonitor.Live.GetResourceVersion()).To(Equal(version), "I5")

	w.seen.Cluster.Spec.Metrics.Enabled = false
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	look()
	w.carryOut(t, plan.Decision{})
	look()
	w.Expect(w.seen.PodMonitor.Live).To(BeNil())
	secret := resources.MetricsSecret(w.seen.Cluster, "")
	w.Expect(w.client.Get(t.Context(), key(secret.Name), secret)).To(MatchError(apierrors.IsNotFound, "it is gone"))
}

// An API server without the kind gets no PodMonitor, and the token all the same.
func TestMetricsWithoutThePrometheusOperator(t *testing.T) {
	w := newWorld(t)
	w.do(t, plan.SetACLs{Phase: plan.ACLsDeny})
	w.look(t)
	w.seen.Cluster.Spec.Metrics.Enabled = true
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	w.look(t)
	w.seen.TokensSecret = w.secret(t, "consul-acl-tokens")
	w.carryOut(t, plan.Decision{})
	w.Expect(w.secret(t, "consul-metrics-token").Data).To(HaveKey("token"))
	live := resources.NoPodMonitor(w.seen.Cluster)
	w.Expect(w.client.Get(t.Context(), key(live.GetName()), live)).NotTo(Succeed())
}
