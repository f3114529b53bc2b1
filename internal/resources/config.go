package resources

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// AgentConfig returns the configuration file of the servers: our defaults, the user's configuration merged over them, and
// over both the values that the operator relies on. Values that differ between servers are passed as arguments. What can be
// changed while a server runs is not in this file: see Settings and Autopilot.
func AgentConfig(c *v1alpha1.ConsulCluster) ([]byte, error) {
	parts, err := divide(c)
	if err != nil {
		return nil, err
	}
	// Without WAN a leave takes 3.5 s instead of 6.5 s, and fits into the 15 s that Consul allows after a SIGTERM.
	ports := map[string]any{"serf_wan": -1}
	if HasTLS(c) { // where ports.grpc is set, Consul does not start without it
		ports["grpc_tls"] = PortGRPCTLS
	}
	defaults := map[string]any{
		"ui_config": map[string]any{"enabled": true},
		// A server must not call the internet to look for newer versions.
		"disable_update_check": true,
		// By default a server that was down for a week refuses to start. Allowed here: a replaced server never restarts, so
		// stale data cannot return.
		"server_rejoin_age_max": "87600h",
		"ports":                 ports,
		// A leaving server answers 500 to every request while it drains, so the drain should be short.
		"performance": map[string]any{"leave_drain_time": "0s"},
		// Consul's own limit of 200 is per address, and the kubelet's probes come from the node's. Clients in the host's network
		// or behind the same translation of addresses would use it up, and the kubelet would stop a server that serves.
		"limits": map[string]any{"http_max_conns_per_client": 4096},
	}
	maps.Copy(defaults, telemetry(c))
	owned := map[string]any{
		"server":                  true,
		"datacenter":              c.Spec.Datacenter,
		"leave_on_terminate":      true,
		"skip_leave_on_interrupt": false,
	}
	maps.Copy(owned, gossipConfig(GossipPhase(c)))
	maps.Copy(owned, tlsConfig(c))
	maps.Copy(owned, aclConfig(c))
	// What is owned is below the user's configuration as well, so that it is spelled as the operator spells it.
	config, err := json.MarshalIndent(merge(merge(merge(owned, defaults), parts.file), owned), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("spec.config: %w", err)
	}
	return config, nil
}

// merge merges over into a copy of base: objects are merged key by key, everything else is replaced. Keys that differ only by
// case are one key, as they are to Consul, and written as in base.
func merge(base, over map[string]any) map[string]any {
	merged, spellings := maps.Clone(base), map[string]string{}
	for key := range base {
		spellings[fold(key)] = key
	}
	for _, key := range slices.Sorted(maps.Keys(over)) {
		value := over[key]
		if known, is := spellings[fold(key)]; is {
			key = known
		}
		spellings[fold(key)] = key
		inner, isObject := value.(map[string]any)
		below, wasObject := merged[key].(map[string]any)
		if isObject && wasObject {
			value = merge(below, inner)
		}
		merged[key] = value
	}
	return merged
}
