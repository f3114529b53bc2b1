package v1alpha1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Config is Consul agent configuration as the user writes it: a JSON object with any keys.
//
// The declared fields are the keys that the operator owns. They are declared only because CEL sees nothing but declared
// fields: the API server rejects an object that sets one of them, with a message that names it. The keys that users may
// set are in Raw.
//
// +kubebuilder:pruning:PreserveUnknownFields
// +kubebuilder:validation:XValidation:rule="!has(self.bootstrap)",message="bootstrap belongs to the operator: clusters are bootstrapped once, from spec.replicas",fieldPath=".bootstrap"
// +kubebuilder:validation:XValidation:rule="!has(self.bootstrap_expect)",message="bootstrap_expect belongs to the operator: clusters are bootstrapped once, from spec.replicas",fieldPath=".bootstrap_expect"
// +kubebuilder:validation:XValidation:rule="!has(self.server)",message="server belongs to the operator: it runs servers only",fieldPath=".server"
// +kubebuilder:validation:XValidation:rule="!has(self.data_dir)",message="data_dir belongs to the operator: it is the server's volume, see spec.storage",fieldPath=".data_dir"
// +kubebuilder:validation:XValidation:rule="!has(self.node_id)",message="node_id belongs to the operator: it is derived from the cluster and the server's name",fieldPath=".node_id"
// +kubebuilder:validation:XValidation:rule="!has(self.node_name)",message="node_name belongs to the operator: it is the server's name",fieldPath=".node_name"
// +kubebuilder:validation:XValidation:rule="!has(self.datacenter)",message="datacenter belongs to the operator: set spec.datacenter",fieldPath=".datacenter"
// +kubebuilder:validation:XValidation:rule="!has(self.bind_addr)",message="bind_addr belongs to the operator: it is the pod's address",fieldPath=".bind_addr"
// +kubebuilder:validation:XValidation:rule="!has(self.client_addr)",message="client_addr belongs to the operator: it is the pod's address",fieldPath=".client_addr"
// +kubebuilder:validation:XValidation:rule="!has(self.advertise_addr)",message="advertise_addr belongs to the operator: it is the pod's address",fieldPath=".advertise_addr"
// +kubebuilder:validation:XValidation:rule="!has(self.retry_join)",message="retry_join belongs to the operator: servers join through the headless Service",fieldPath=".retry_join"
// +kubebuilder:validation:XValidation:rule="!has(self.start_join)",message="start_join belongs to the operator: servers join through the headless Service",fieldPath=".start_join"
// +kubebuilder:validation:XValidation:rule="!has(self.leave_on_terminate)",message="leave_on_terminate belongs to the operator: a stopped server leaves the cluster",fieldPath=".leave_on_terminate"
// +kubebuilder:validation:XValidation:rule="!has(self.skip_leave_on_interrupt)",message="skip_leave_on_interrupt belongs to the operator: a stopped server leaves the cluster",fieldPath=".skip_leave_on_interrupt"
// +kubebuilder:validation:XValidation:rule="!has(self.autopilot) || !has(self.autopilot.min_quorum)",message="autopilot.min_quorum belongs to the operator: it follows spec.replicas",fieldPath=".autopilot.min_quorum"
// +kubebuilder:validation:XValidation:rule="!has(self.ports) || !has(self.ports.http)",message="ports.http belongs to the operator: probes and the Service use 8500",fieldPath=".ports.http"
// +kubebuilder:validation:XValidation:rule="!has(self.ports) || !has(self.ports.server)",message="ports.server belongs to the operator: servers use 8300",fieldPath=".ports.server"
// +kubebuilder:validation:XValidation:rule="!has(self.ports) || !has(self.ports.serf_lan)",message="ports.serf_lan belongs to the operator: servers use 8301",fieldPath=".ports.serf_lan"
// +kubebuilder:validation:XValidation:rule="!has(self.read_replica)",message="read_replica belongs to the operator: every server votes; set spec.replicas",fieldPath=".read_replica"
// +kubebuilder:validation:XValidation:rule="!has(self.non_voting_server)",message="non_voting_server belongs to the operator: every server votes; set spec.replicas",fieldPath=".non_voting_server"
// +kubebuilder:validation:XValidation:rule="!has(self.disable_keyring_file)",message="disable_keyring_file belongs to the operator: the keyring is on the server's volume, otherwise a restart would bring a former key back",fieldPath=".disable_keyring_file"
// +kubebuilder:validation:XValidation:rule="!has(self.addresses)",message="addresses belongs to the operator: the operator, probes and Services use the pod's address; restrict access with a NetworkPolicy",fieldPath=".addresses"
// +kubebuilder:validation:XValidation:rule="!has(self.advertise_addr_ipv4)",message="advertise_addr_ipv4 belongs to the operator: it is the pod's address",fieldPath=".advertise_addr_ipv4"
// +kubebuilder:validation:XValidation:rule="!has(self.advertise_addr_ipv6)",message="advertise_addr_ipv6 belongs to the operator: it is the pod's address",fieldPath=".advertise_addr_ipv6"
// +kubebuilder:validation:XValidation:rule="!has(self.serf_lan)",message="serf_lan belongs to the operator: it is the pod's address",fieldPath=".serf_lan"
// +kubebuilder:validation:XValidation:rule="!has(self.serf_wan)",message="serf_wan belongs to the operator: it is the pod's address",fieldPath=".serf_wan"
// +kubebuilder:validation:XValidation:rule="!has(self.retry_interval)",message="retry_interval belongs to the operator: servers join through the headless Service, and try once a second",fieldPath=".retry_interval"
// +kubebuilder:validation:XValidation:rule="!has(self.retry_max)",message="retry_max belongs to the operator: servers join through the headless Service, and try until they succeed",fieldPath=".retry_max"
// +kubebuilder:validation:XValidation:rule="!has(self.rejoin_after_leave)",message="rejoin_after_leave belongs to the operator: servers join through the headless Service, not at addresses that pods had before",fieldPath=".rejoin_after_leave"
// +kubebuilder:validation:XValidation:rule="!has(self.http_config) || !has(self.http_config.allow_write_http_from)",message="http_config.allow_write_http_from belongs to the operator: its own calls could be refused; use ACLs or a NetworkPolicy",fieldPath=".http_config.allow_write_http_from"
// +kubebuilder:validation:XValidation:rule="!has(self.http_config) || !has(self.http_config.block_endpoints)",message="http_config.block_endpoints belongs to the operator: its own calls could be refused; use ACLs or a NetworkPolicy",fieldPath=".http_config.block_endpoints"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.limits.rpc_rate)",message="limits.rpc_rate belongs to the operator: a server would count its own probes, and restart when it refuses them; set limits.request_limits",fieldPath=".limits.rpc_rate"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.limits.rpc_max_burst)",message="limits.rpc_max_burst belongs to the operator: a server would count its own probes, and restart when it refuses them; set limits.request_limits",fieldPath=".limits.rpc_max_burst"
type Config struct {
	// +optional
	Bootstrap *bool `json:"bootstrap,omitempty"`
	// +optional
	BootstrapExpect *int32 `json:"bootstrap_expect,omitempty"`
	// +optional
	Server *bool `json:"server,omitempty"`
	// +optional
	ReadReplica *bool `json:"read_replica,omitempty"`
	// +optional
	NonVotingServer *bool `json:"non_voting_server,omitempty"`
	// +optional
	DataDir *string `json:"data_dir,omitempty"`
	// +optional
	DisableKeyringFile *bool `json:"disable_keyring_file,omitempty"`
	// +optional
	NodeID *string `json:"node_id,omitempty"`
	// +optional
	NodeName *string `json:"node_name,omitempty"`
	// +optional
	Datacenter *string `json:"datacenter,omitempty"`
	// +optional
	Addresses map[string]string `json:"addresses,omitempty"`
	// +optional
	BindAddr *string `json:"bind_addr,omitempty"`
	// +optional
	ClientAddr *string `json:"client_addr,omitempty"`
	// +optional
	AdvertiseAddr *string `json:"advertise_addr,omitempty"`
	// +optional
	AdvertiseAddrIPv4 *string `json:"advertise_addr_ipv4,omitempty"`
	// +optional
	AdvertiseAddrIPv6 *string `json:"advertise_addr_ipv6,omitempty"`
	// +optional
	SerfLAN *string `json:"serf_lan,omitempty"`
	// +optional
	SerfWAN *string `json:"serf_wan,omitempty"`
	// +optional
	// +listType=atomic
	RetryJoin []string `json:"retry_join,omitempty"`
	// +optional
	// +listType=atomic
	StartJoin []string `json:"start_join,omitempty"`
	// +optional
	RetryInterval *string `json:"retry_interval,omitempty"`
	// +optional
	RetryMax *int32 `json:"retry_max,omitempty"`
	// +optional
	RejoinAfterLeave *bool `json:"rejoin_after_leave,omitempty"`
	// +optional
	LeaveOnTerminate *bool `json:"leave_on_terminate,omitempty"`
	// +optional
	SkipLeaveOnInterrupt *bool `json:"skip_leave_on_interrupt,omitempty"`
	// +optional
	Autopilot *ConfigAutopilot `json:"autopilot,omitempty"`
	// +optional
	Ports *ConfigPorts `json:"ports,omitempty"`
	// +optional
	HTTPConfig *ConfigHTTP `json:"http_config,omitempty"`
	// +optional
	Limits *ConfigLimits `json:"limits,omitempty"`

	// Raw is the whole object as the user wrote it.
	Raw json.RawMessage `json:"-"`
}

// ConfigAutopilot declares the keys of autopilot that the operator owns.
//
// +kubebuilder:pruning:PreserveUnknownFields
type ConfigAutopilot struct {
	// +optional
	MinQuorum *int32 `json:"min_quorum,omitempty"`
}

// ConfigPorts declares the keys of ports that the operator owns.
//
// +kubebuilder:pruning:PreserveUnknownFields
type ConfigPorts struct {
	// +optional
	HTTP *int32 `json:"http,omitempty"`
	// +optional
	Server *int32 `json:"server,omitempty"`
	// +optional
	SerfLAN *int32 `json:"serf_lan,omitempty"`
}

// ConfigHTTP declares the keys of http_config that the operator owns.
//
// +kubebuilder:pruning:PreserveUnknownFields
type ConfigHTTP struct {
	// +optional
	// +listType=atomic
	AllowWriteHTTPFrom []string `json:"allow_write_http_from,omitempty"`
	// +optional
	// +listType=atomic
	BlockEndpoints []string `json:"block_endpoints,omitempty"`
}

// ConfigLimits declares the keys of limits that the operator owns.
//
// +kubebuilder:pruning:PreserveUnknownFields
type ConfigLimits struct {
	// +optional
	RPCRate *int32 `json:"rpc_rate,omitempty"`
	// +optional
	RPCMaxBurst *int32 `json:"rpc_max_burst,omitempty"`
}

// ConfigSource is where a part of the configuration is.
type ConfigSource struct {
	// SecretRef names the key of a Secret that holds it.
	//
	// +required
	SecretRef SecretKey `json:"secretRef"`
}

// NewConfig returns a Config with these values.
func NewConfig(values map[string]any) (*Config, error) {
	raw, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return &Config{Raw: raw}, nil
}

// Values returns the configuration as a map, which is empty if there is no configuration.
func (c *Config) Values() (map[string]any, error) {
	values := map[string]any{}
	if c == nil || len(c.Raw) == 0 {
		return values, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(c.Raw))
	// Keep numbers as they were written: a float64 would turn a large integer into 1e+06, which Consul rejects.
	decoder.UseNumber()
	if err := decoder.Decode(&values); err != nil {
		return nil, fmt.Errorf("config is not a JSON object: %w", err)
	}
	if err := readable("config", values); err != nil {
		return nil, err
	}
	return values, nil
}

// readable returns an error for a number of JSON that no float64 holds, such as 1e700. The error does not show the number, since
// configuration may come from a Secret.
func readable(path string, value any) error {
	switch value := value.(type) {
	case json.Number:
		if _, err := value.Float64(); err != nil {
			return fmt.Errorf("%s: a number that Consul cannot read: none is greater than 1.8e308", path)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if err := readable(path+"."+key, value[key]); err != nil {
				return err
			}
		}
	case []any:
		for i, element := range value {
			if err := readable(fmt.Sprintf("%s[%d]", path, i), element); err != nil {
				return err
			}
		}
	}
	return nil
}

// MarshalJSON returns the object as the user wrote it.
func (c Config) MarshalJSON() ([]byte, error) {
	if len(c.Raw) == 0 {
		return []byte("{}"), nil
	}
	return c.Raw, nil
}

// UnmarshalJSON keeps the object as the user wrote it.
func (c *Config) UnmarshalJSON(data []byte) error {
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil
	}
	c.Raw = bytes.Clone(data)
	return nil
}
