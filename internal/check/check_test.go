package check_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/check"
)

var key = client.ObjectKey{Namespace: "operators", Name: "check"}

// operator is an API server with an operator that reports this reason for every cluster; none if it is empty.
func operator(t *testing.T, reason string) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	NewWithT(t).Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
			if err := api.Get(ctx, key, o); err != nil {
				return err
			}
			if cluster := o.(*v1alpha1.ConsulCluster); reason != "" {
				cluster.Status.ObservedGeneration = cluster.Generation
				cluster.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason, Message: "its words"}}
			}
			return nil
		},
	}).Build()
}

// run runs the check with a cluster that a previous check left behind, and expects that none remains at the end.
func run(t *testing.T, reason string, limit time.Duration) (string, error) {
	t.Helper()
	g := NewWithT(t)
	api := operator(t, reason)
	former := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	g.Expect(api.Create(t.Context(), former)).To(Succeed())
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out bytes.Buffer
	err := check.Run(ctx, api, key, time.Millisecond, &out)
	g.Expect(apierrors.IsNotFound(api.Get(t.Context(), key, former))).To(BeTrue(), "it cleans up")
	return out.String(), err
}

func TestAnOperatorThatAnswers(t *testing.T) {
	g := NewWithT(t)
	out, err := run(t, "Paused", time.Minute)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(ContainSubstring("the operator answered Paused: its words"))
}

func TestAnOperatorThatSaysSomethingElse(t *testing.T) {
	_, err := run(t, "InvalidSpec", time.Minute)
	NewWithT(t).Expect(err).To(MatchError("the operator answered InvalidSpec: its words"))
}

func TestNoOperator(t *testing.T) {
	_, err := run(t, "", 50*time.Millisecond)
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("is it running, and does it watch the namespace operators?")))
}
