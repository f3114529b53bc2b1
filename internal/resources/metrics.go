package resources

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// podMonitor is a kind of the Prometheus operator, by which Prometheus finds pods
// (https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor). A ServiceMonitor would find them
// twice, by either Service.
var podMonitor = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PodMonitor"}

// PodMonitorName returns the name of the PodMonitor of the servers.
func PodMonitorName(cluster string) string { return cluster + "-server" }

// MetricsSecretName returns the name of the Secret with the token that may read metrics.
func MetricsSecretName(cluster string) string { return cluster + "-metrics-token" }

// MetricsSecret returns the Secret with the token that may read metrics.
func MetricsSecret(c *v1alpha1.ConsulCluster, token string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: meta(c, MetricsSecretName(c.Name)), Data: map[string][]byte{keyManagement: []byte(token)},
	}
}

// NoPodMonitor returns a PodMonitor of a cluster that has nothing but its name.
func NoPodMonitor(c *v1alpha1.ConsulCluster) *unstructured.Unstructured {
	monitor := &unstructured.Unstructured{}
	monitor.SetGroupVersionKind(podMonitor)
	monitor.SetNamespace(c.Namespace)
	monitor.SetName(PodMonitorName(c.Name))
	return monitor
}

// PodMonitor returns the PodMonitor of the servers, which prove who they are by a name.
func PodMonitor(c *v1alpha1.ConsulCluster, tlsName string) *unstructured.Unstructured {
	type object = map[string]any
	endpoint := object{"port": "http", "path": "/v1/agent/metrics", "params": object{"format": []any{"prometheus"}}}
	if HasTLS(c) {
		endpoint["port"], endpoint["scheme"] = "https", "https"
		endpoint["tlsConfig"] = object{
			"ca":         object{"secret": object{"name": AuthoritiesSecretName(c.Name), "key": corev1.TLSCertKey}},
			"serverName": tlsName,
		}
	}
	if HasACLs(c) {
		endpoint["authorization"] = object{"credentials": object{"name": MetricsSecretName(c.Name), "key": keyManagement}}
	}
	selector := object{}
	for key, value := range Selector(c) {
		selector[key] = value
	}
	monitor := NoPodMonitor(c)
	ours := meta(c, monitor.GetName())
	labels := map[string]string{}
	maps.Copy(labels, c.Spec.Metrics.PodMonitorLabels)
	maps.Copy(labels, ours.Labels)
	monitor.SetLabels(labels)
	monitor.SetOwnerReferences(ours.OwnerReferences)
	monitor.Object["spec"] = object{"selector": object{"matchLabels": selector}, "podMetricsEndpoints": []any{endpoint}}
	return monitor
}

// CheckMetrics returns why a PodMonitor cannot have the labels that the spec asks for; nil if it can.
func CheckMetrics(c *v1alpha1.ConsulCluster) error {
	path := field.NewPath("spec", "metrics", "podMonitorLabels")
	return validation.ValidateLabels(c.Spec.Metrics.PodMonitorLabels, path).ToAggregate()
}

// telemetry is what has servers keep metrics for Prometheus; nil if they need not. Otherwise the names of gauges would contain
// the name of the server.
func telemetry(c *v1alpha1.ConsulCluster) map[string]any {
	if !c.Spec.Metrics.Enabled {
		return nil
	}
	return map[string]any{"telemetry": map[string]any{"prometheus_retention_time": "5m", "disable_hostname": true}}
}
