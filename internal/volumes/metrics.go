package volumes

import (
	"github.com/prometheus/client_golang/prometheus"
)

var (
	labels    = []string{"namespace", "server"}
	usedBytes = prometheus.NewDesc("consuloperator_server_volume_used_bytes",
		"How many bytes of a server's volume are used, as its kubelet said last.", labels, nil)
	capacityBytes = prometheus.NewDesc("consuloperator_server_volume_capacity_bytes",
		"How many bytes a server's volume has, as its kubelet said last.", labels, nil)
)

// Describe implements prometheus.Collector.
func (w *Watcher) Describe(all chan<- *prometheus.Desc) {
	all <- usedBytes
	all <- capacityBytes
}

// Collect implements prometheus.Collector. A volume of which nothing is known has no metrics.
func (w *Watcher) Collect(all chan<- prometheus.Metric) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for claim, known := range w.known {
		if known.Unread == "" {
			all <- prometheus.MustNewConstMetric(usedBytes, prometheus.GaugeValue, float64(known.Used), claim.Namespace, claim.Name)
			all <- prometheus.MustNewConstMetric(
				capacityBytes, prometheus.GaugeValue, float64(known.Capacity), claim.Namespace, claim.Name)
		}
	}
}
