package resources

import (
	"encoding/json"
	"fmt"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// AgentConfig returns the configuration file of the servers: our defaults, the user's configuration merged over them, and
// over both the values that the operator relies on. Values that differ between servers are passed as arguments.
func AgentConfig(c *v1alpha1.ConsulCluster) ([]byte, error) {
	user, err := c.Spec.Config.Values()
	if err != nil {
		return nil, fmt.Errorf("spec.%w", err)
	}
	defaults := map[string]any{
		"ui_config": map[string]any{"enabled": true},
		// A server must not call the internet to look for newer versions.
		"disable_update_check": true,
		// By default a server that was down for a week refuses to start. Allowed here: a replaced server never restarts, so
		// stale data cannot return.
		"server_rejoin_age_max": "87600h",
		// Without WAN a leave takes 3.5 s instead of 6.5 s, and fits into the 15 s that Consul allows after a SIGTERM.
		"ports": map[string]any{"serf_wan": -1},
		// A leaving server answers 500 to every request while it drains, so the drain should be short.
		"performance": map[string]any{"leave_drain_time": "0s"},
	}
	owned := map[string]any{
		"server":                  true,
		"datacenter":              c.Spec.Datacenter,
		"leave_on_terminate":      true,
		"skip_leave_on_interrupt": false,
	}
	config, err := json.MarshalIndent(merge(merge(defaults, user), owned), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("spec.config: %w", err)
	}
	return config, nil
}

// merge merges over into a copy of base: objects are merged key by key, everything else is replaced.
func merge(base, over map[string]any) map[string]any {
	merged := make(map[string]any, len(base)+len(over))
	for key, value := range base {
		merged[key] = value
	}
	for key, value := range over {
		inner, isObject := value.(map[string]any)
		below, wasObject := merged[key].(map[string]any)
		if isObject && wasObject {
			merged[key] = merge(below, inner)
			continue
		}
		merged[key] = value
	}
	return merged
}
