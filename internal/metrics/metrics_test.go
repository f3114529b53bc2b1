package metrics_test

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/metrics"
)

func builder(t *testing.T) *fake.ClientBuilder {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme)
}

func TestWhatIsMeasured(t *testing.T) {
	at := metav1.NewTime(time.Unix(1_800_000_000, 0))
	reader := builder(t).WithObjects(
		&v1alpha1.ConsulCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: "blue", Name: "consul"},
			Status: v1alpha1.ConsulClusterStatus{FailureTolerance: 1, Conditions: []metav1.Condition{
				{Type: "Ready", Status: metav1.ConditionTrue}, {Type: "VolumeSpace", Status: metav1.ConditionUnknown},
			}},
		},
		&v1alpha1.ConsulSnapshotSchedule{
			ObjectMeta: metav1.ObjectMeta{Namespace: "blue", Name: "hourly"},
			Spec:       v1alpha1.ConsulSnapshotScheduleSpec{ClusterName: "consul", Schedule: "7 * * * *"},
			Status: v1alpha1.ConsulSnapshotScheduleStatus{LastSucceededAt: &at, Conditions: []metav1.Condition{
				{Type: "Ready", Status: metav1.ConditionFalse},
			}},
		},
		&v1alpha1.ConsulSnapshotSchedule{
			ObjectMeta: metav1.ObjectMeta{Namespace: "blue", Name: "new"},
			Spec:       v1alpha1.ConsulSnapshotScheduleSpec{ClusterName: "consul", Schedule: "@daily", Suspend: true},
		},
	).Build()
	NewWithT(t).Expect(testutil.CollectAndCompare(metrics.Collector{Reader: reader, Now: time.Now}, strings.NewReader(`
# HELP consuloperator_cluster_condition 1 for the status that a condition of a ConsulCluster has.
# TYPE consuloperator_cluster_condition gauge
consuloperator_cluster_condition{cluster="consul",condition="Ready",namespace="blue",status="true"} 1
consuloperator_cluster_condition{cluster="consul",condition="VolumeSpace",namespace="blue",status="unknown"} 1
# HELP consuloperator_cluster_failure_tolerance How many healthy voters of a ConsulCluster can fail before the quorum is lost.
# TYPE consuloperator_cluster_failure_tolerance gauge
consuloperator_cluster_failure_tolerance{cluster="consul",namespace="blue"} 1
# HELP consuloperator_snapshot_schedule_condition 1 for the status that a condition of a ConsulSnapshotSchedule has.
# TYPE consuloperator_snapshot_schedule_condition gauge
consuloperator_snapshot_schedule_condition{cluster="consul",condition="Ready",namespace="blue",schedule="hourly",status="false"} 1
# HELP consuloperator_snapshot_schedule_interval_seconds The longer of its last interval and the present one; none if suspended.
# TYPE consuloperator_snapshot_schedule_interval_seconds gauge
consuloperator_snapshot_schedule_interval_seconds{cluster="consul",namespace="blue",schedule="hourly"} 3600
# HELP consuloperator_snapshot_schedule_last_success_timestamp_seconds When its last good snapshot was completed.
# TYPE consuloperator_snapshot_schedule_last_success_timestamp_seconds gauge
consuloperator_snapshot_schedule_last_success_timestamp_seconds{cluster="consul",namespace="blue",schedule="hourly"} 1.8e+09
`))).To(Succeed())
}

// An operator that stands by has not read anything, which is no error.
func TestAnOperatorThatStandsByTellsNothing(t *testing.T) {
	reader := builder(t).WithInterceptorFuncs(interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return &cache.ErrCacheNotStarted{}
		},
	}).Build()
	NewWithT(t).Expect(testutil.CollectAndCount(metrics.Collector{Reader: reader, Now: time.Now})).To(BeZero())
}
