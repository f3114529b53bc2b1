package resources

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// ConfigRule is about a key of spec.config that users cannot set, or not to every value.
type ConfigRule struct {
	// Key has its parents before it, separated by dots.
	Key string
	// Must says which values are allowed; empty if none is.
	Must string
	// Why is the reason, and what to set instead.
	Why string
	// allows reports whether a value is allowed; nil if none is.
	allows func(value any, config map[string]any) bool
}

// Message returns what users see.
func (r ConfigRule) Message() string {
	if r.Must == "" {
		return r.Key + " belongs to the operator: " + r.Why
	}
	return r.Key + " must be " + r.Must + ": " + r.Why
}

// minHTTPConnections is Consul's default of limits.http_max_conns_per_client.
const minHTTPConnections = 200

const (
	bootstrapsOnce  = "clusters are bootstrapped once, from spec.replicas"
	podAddress      = "it is the pod's address"
	joinsThrough    = "servers join through the headless Service"
	stoppedLeaves   = "a stopped server leaves the cluster"
	everyServer     = "every server votes; set spec.replicas"
	ownCallsRefused = "its own calls could be refused; use ACLs or a NetworkPolicy"
	countsProbes    = "a server would count its own probes, and restart when it refuses them; set limits.request_limits"
	onlyWithACLs    = "unless servers deny by default (status.acls is Deny, or spec.config.acl says so)"
)

// ConfigRules are all rules about keys of spec.config. Admission knows those of them that allow no value, see v1alpha1.Config,
// but CEL compares keys by case, and Consul does not.
var ConfigRules = []ConfigRule{
	{Key: "bootstrap", Why: bootstrapsOnce},
	{Key: "bootstrap_expect", Why: bootstrapsOnce},
	{Key: "server", Why: "it runs servers only"},
	{Key: "read_replica", Why: everyServer},
	{Key: "non_voting_server", Why: everyServer},
	{Key: "data_dir", Why: "it is the server's volume, see spec.storage"},
	{Key: "disable_keyring_file", Why: "the keyring is on the server's volume, otherwise a restart would bring a former key back"},
	{Key: "node_id", Why: "it is derived from the cluster and the server's name"},
	{Key: "node_name", Why: "it is the server's name"},
	{Key: "datacenter", Why: "set spec.datacenter"},
	{Key: "addresses", Why: "the operator, probes and Services use the pod's address; restrict access with a NetworkPolicy"},
	{Key: "bind_addr", Why: podAddress},
	{Key: "client_addr", Why: podAddress},
	{Key: "advertise_addr", Why: podAddress},
	{Key: "advertise_addr_ipv4", Why: podAddress},
	{Key: "advertise_addr_ipv6", Why: podAddress},
	{Key: "serf_lan", Why: podAddress},
	{Key: "serf_wan", Why: podAddress},
	{Key: "retry_join", Why: joinsThrough},
	{Key: "start_join", Why: joinsThrough},
	{Key: "retry_interval", Why: joinsThrough + ", and try once a second"},
	{Key: "retry_max", Why: joinsThrough + ", and try until they succeed"},
	{Key: "rejoin_after_leave", Why: joinsThrough + ", not at addresses that pods had before"},
	{Key: "leave_on_terminate", Why: stoppedLeaves},
	{Key: "skip_leave_on_interrupt", Why: stoppedLeaves},
	{Key: "autopilot.min_quorum", Why: "it follows spec.replicas"},
	{Key: "ports.http", Why: "probes and the Service use 8500"},
	{Key: "ports.server", Why: "servers use 8300"},
	{Key: "ports.serf_lan", Why: "servers use 8301"},
	{Key: "http_config.allow_write_http_from", Why: ownCallsRefused},
	{Key: "http_config.block_endpoints", Why: ownCallsRefused},
	{Key: "limits.rpc_rate", Why: countsProbes},
	{Key: "limits.rpc_max_burst", Why: countsProbes},
	{
		Key: "limits.http_max_conns_per_client", Must: fmt.Sprintf("0 or at least %d", minHTTPConnections),
		Why:    "probes share the limit with all clients that have the address of the node",
		allows: func(value any, _ map[string]any) bool { return allowsProbes(value) },
	},
	// An agent that runs ignores a level that it does not know, and does not start with it.
	{
		Key: "log_level", Must: "TRACE, DEBUG, INFO, WARN or ERROR", Why: "Consul does not start with another one",
		allows: func(value any, _ map[string]any) bool { return isLogLevel(value) },
	},
	// Consul itself warns of script checks unless ACLs are enabled. That is not enough: their default policy is allow.
	{
		Key: "enable_script_checks", Must: "false " + onlyWithACLs,
		Why:    "everybody who reaches the HTTP API could run commands in the servers; set enable_local_script_checks",
		allows: func(value any, config map[string]any) bool { return value == false || deniesByDefault(config) },
	},
	{
		Key: "disable_remote_exec", Must: "true " + onlyWithACLs,
		Why:    "everybody who reaches the HTTP API could run commands in the servers",
		allows: func(value any, config map[string]any) bool { return value == true || deniesByDefault(config) },
	},
}

func allowsProbes(value any) bool {
	number, isNumber := value.(json.Number)
	if !isNumber {
		return false
	}
	limit, err := number.Int64()
	return err == nil && (limit == 0 || limit >= minHTTPConnections)
}

func isLogLevel(value any) bool {
	level, isText := value.(string)
	return isText && slices.Contains([]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"}, strings.ToUpper(level))
}

func deniesByDefault(config map[string]any) bool {
	_, enabled, _ := lookup(config, "acl.enabled")
	_, policy, _ := lookup(config, "acl.default_policy")
	return enabled == true && policy == "deny"
}

// CheckConfig returns why Consul or the operator cannot work with spec.config; nil if they can.
func CheckConfig(c *v1alpha1.ConsulCluster) error {
	config, err := c.Spec.Config.Values()
	if err != nil {
		return fmt.Errorf("spec.%w", err)
	}
	if err := writtenTwice("spec.config", config); err != nil {
		return err
	}
	effective := merge(config, aclConfig(c))
	for _, rule := range ConfigRules {
		written, value, found := lookup(config, rule.Key)
		if found && (rule.allows == nil || !rule.allows(value, effective)) {
			return fmt.Errorf("spec.config.%s: %s", written, rule.Message())
		}
	}
	if err := checkTLS(c, config); err != nil {
		return err
	}
	if err := checkACLs(c, config); err != nil {
		return err
	}
	if err := checkGossip(c, config); err != nil {
		return err
	}
	if _, _, err := Settings(c); err != nil {
		return err
	}
	_, err = Autopilot(c)
	return err
}

// userKeys are the objects in which users choose the keys, so that Consul does not match them with its own.
var userKeys = map[string]bool{
	"ca_config": true, "claim_mappings": true, "config": true, "dashboard_url_templates": true, "header": true,
	"list_claim_mappings": true, "meta": true, "node_meta": true, "response_headers": true, "service_ttl": true,
	"sink": true, "snapshot_agent": true, "tagged_addresses": true,
}

// writtenTwice returns an error if a key is there twice, in different case: Consul would read one of them, by chance.
func writtenTwice(path string, object map[string]any) error {
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		folded := fold(key)
		if other, twice := seen[folded]; twice {
			return fmt.Errorf("%s.%s: Consul does not distinguish it from %s: remove one of them", path, key, other)
		}
		seen[folded] = key
		if inner, isObject := single(object[key]).(map[string]any); isObject && !userKeys[folded] {
			if err := writtenTwice(path+"."+key, inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookup finds a key as Consul does: without regard to case. It also returns the key as it is written there.
func lookup(config map[string]any, key string) (written string, value any, found bool) {
	value = config
	var names []string
	for _, name := range strings.Split(key, ".") {
		object, isObject := value.(map[string]any)
		if !isObject {
			return "", nil, false
		}
		name = spelling(object, name)
		if value = single(object[name]); value == nil { // null is not set
			return "", nil, false
		}
		names = append(names, name)
	}
	return strings.Join(names, "."), value, true
}

// spelling returns how an object spells a key; the key itself if the object does not have it.
func spelling(object map[string]any, key string) string {
	if _, exact := object[key]; exact {
		return key // Consul prefers it, too
	}
	found := key
	for candidate := range object {
		if strings.EqualFold(candidate, key) && (found == key || candidate < found) { // one of two is the same one each time
			found = candidate
		}
	}
	return found
}

// fold returns the same for keys that differ only by case. Some letters become ASCII only in capitals, such as the long s.
func fold(key string) string { return strings.ToLower(strings.ToUpper(key)) }

// single unpacks a list of one value, as Consul does.
func single(value any) any {
	if list, isList := value.([]any); isList && len(list) == 1 {
		return list[0]
	}
	return value
}
