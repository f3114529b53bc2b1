package v1alpha1

// Metrics configures what Prometheus reads from the servers.
type Metrics struct {
	// Enabled is whether servers keep metrics for Prometheus, for five minutes. Changing it is a rolling update. With ACLs, the
	// Secret NAME-metrics-token has a token in the key token that may read them. Where the API server has the PodMonitors of the
	// Prometheus operator, there is one, NAME-server, by which Prometheus finds servers, certificates and token.
	//
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// PodMonitorLabels are labels by which a Prometheus selects the PodMonitor.
	//
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	PodMonitorLabels map[string]string `json:"podMonitorLabels,omitempty"`
}
