// Package metrics tells Prometheus how clusters and their snapshots are: what alerts need and no status of a pod says. It reads
// the cache at each scrape, so there is nothing to keep up to date. An operator that stands by has no cache, and tells nothing.
package metrics

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
)

// readWithin is how long the cache may take.
const readWithin = 5 * time.Second

var (
	clusterCondition = prometheus.NewDesc("consuloperator_cluster_condition",
		"1 for the status that a condition of a ConsulCluster has.",
		[]string{"namespace", "cluster", "condition", "status"}, nil)
	failureTolerance = prometheus.NewDesc("consuloperator_cluster_failure_tolerance",
		"How many healthy voters of a ConsulCluster can fail before the quorum is lost.", []string{"namespace", "cluster"}, nil)
	scheduleCondition = prometheus.NewDesc("consuloperator_snapshot_schedule_condition",
		"1 for the status that a condition of a ConsulSnapshotSchedule has.",
		[]string{"namespace", "schedule", "cluster", "condition", "status"}, nil)
	lastGood = prometheus.NewDesc("consuloperator_snapshot_schedule_last_success_timestamp_seconds",
		"When its last good snapshot was completed.",
		[]string{"namespace", "schedule", "cluster"}, nil)
	interval = prometheus.NewDesc("consuloperator_snapshot_schedule_interval_seconds",
		"The longer of its last interval and the present one; none if suspended.", []string{"namespace", "schedule", "cluster"}, nil)
)

// Collector collects what ConsulClusters and ConsulSnapshotSchedules say of themselves.
type Collector struct {
	// Reader reads from the cache.
	Reader client.Reader
	Now    func() time.Time
}

// Describe implements prometheus.Collector.
func (Collector) Describe(all chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{clusterCondition, failureTolerance, scheduleCondition, lastGood, interval} {
		all <- desc
	}
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(all chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	err := errors.Join(c.clusters(ctx, all), c.schedules(ctx, all))
	if err != nil && !isStandby(err) {
		log.Log.WithName("metrics").Error(err, "reading what is measured")
	}
}

// isStandby reports whether the operator does not lead, and reads nothing.
func isStandby(err error) bool {
	var notStarted *cache.ErrCacheNotStarted
	return errors.As(err, &notStarted)
}

func (c Collector) clusters(ctx context.Context, all chan<- prometheus.Metric) error {
	var clusters v1alpha1.ConsulClusterList
	if err := c.Reader.List(ctx, &clusters, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	for i := range clusters.Items {
		cluster := &clusters.Items[i]
		for _, condition := range cluster.Status.Conditions {
			all <- gauge(clusterCondition, 1, cluster.Namespace, cluster.Name, condition.Type, statusOf(condition))
		}
		all <- gauge(failureTolerance, float64(cluster.Status.FailureTolerance), cluster.Namespace, cluster.Name)
	}
	return nil
}

func (c Collector) schedules(ctx context.Context, all chan<- prometheus.Metric) error {
	var schedules v1alpha1.ConsulSnapshotScheduleList
	if err := c.Reader.List(ctx, &schedules, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	for i := range schedules.Items {
		schedule := &schedules.Items[i]
		name := []string{schedule.Namespace, schedule.Name, schedule.Spec.ClusterName}
		for _, condition := range schedule.Status.Conditions {
			all <- gauge(scheduleCondition, 1, append(name[:3:3], condition.Type, statusOf(condition))...)
		}
		if at := schedule.Status.LastSucceededAt; at != nil {
			all <- gauge(lastGood, float64(at.Unix()), name...)
		}
		if between := backup.Interval(schedule.Spec, c.Now()); between > 0 {
			all <- gauge(interval, between.Seconds(), name...)
		}
	}
	return nil
}

func gauge(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

func statusOf(condition metav1.Condition) string { return strings.ToLower(string(condition.Status)) }
