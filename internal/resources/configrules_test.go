package resources_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// configured returns a cluster with this configuration, as the user writes it.
func configured(raw string) *v1alpha1.ConsulCluster {
	c := plain()
	c.Spec.Config = &v1alpha1.Config{Raw: []byte(raw)}
	return c
}

// nested returns a configuration with one key, each parent being an object or a list of one object.
func nested(key string, inLists bool) string {
	raw := `"x"`
	names := strings.Split(key, ".")
	for i, name := range slices.Backward(names) {
		raw = `{"` + name + `":` + raw + `}`
		if inLists && i > 0 {
			raw = "[" + raw + "]"
		}
	}
	return raw
}

func TestNobodySetsAKeyOfTheOperator(t *testing.T) {
	for _, rule := range resources.ConfigRules {
		for _, key := range []string{rule.Key, strings.ToUpper(rule.Key), strings.ReplaceAll(rule.Key, "s", "ſ")} {
			for _, inLists := range []bool{false, true} {
				raw := nested(key, inLists)
				NewWithT(t).Expect(resources.CheckConfig(configured(raw))).To(
					MatchError("spec.config."+key+": "+rule.Message()), raw)
			}
		}
	}
}

const deniedByDefault = `"ACL": {"enabled": true, "default_policy": "deny"}`

func TestAllowedConfigurations(t *testing.T) {
	g := NewWithT(t)
	for _, raw := range []string{
		`{"log_level": "DEBUG", "server_rejoin_age_max": "24h", "advertise_addr_wan": "x", "retry_join_wan": ["x"]}`,
		`{"ports": {"serf_wan": 8302}, "autopilot": {"cleanup_dead_servers": true}, "acl": {"tokens": {}}}`,
		`{"bootstrap": null, "ports": null, "limits": {"rpc_rate": null}}`,
		`{"ports": 5, "services": [{"ports": {"http": 1}}]}`,
		`{"limits": {"http_max_conns_per_client": 200, "request_limits": {"mode": "enforcing"}}}`,
		`{"limits": {"http_max_conns_per_client": 0}}`,
		`{"enable_script_checks": false, "disable_remote_exec": true, "enable_local_script_checks": true}`,
		`{"enable_script_checks": true, "disable_remote_exec": false, ` + deniedByDefault + `}`,
		`{"node_meta": {"a": "x", "A": "y"}, "http_config": {"response_headers": {"a": "x", "A": "y"}}}`,
	} {
		g.Expect(resources.CheckConfig(configured(raw))).To(Succeed(), raw)
	}
	g.Expect(resources.CheckConfig(plain())).To(Succeed())
	g.Expect(resources.CheckConfig(customized(t))).To(Succeed())
}

func TestRefusedConfigurations(t *testing.T) {
	for raw, message := range map[string]string{
		`[]`:                    "spec.config is not a JSON object",
		`{"a":{"b":[1,1e700]}}`: "spec.config.a.b[1]: a number that Consul cannot read: none is greater than 1.8e308",
		`{"limits": {"http_max_conns_per_client": 199}}`: "spec.config.limits.http_max_conns_per_client: " +
			"limits.http_max_conns_per_client must be 0 or at least 200: probes share the limit with",
		`{"enable_script_checks": true}`: "spec.config.enable_script_checks: enable_script_checks must be false unless " +
			"servers deny by default (status.acls is Deny, or spec.config.acl says so): ",
		`{"enable_script_checks": true, "acl": {"enabled": true}}`: "spec.config.enable_script_checks: ",
		`{"Disable_Remote_Exec": [false]}`: "spec.config.Disable_Remote_Exec: " +
			"disable_remote_exec must be true unless",
		`{"log_level": "DEBUG", "Log_Level": "INFO"}`: "spec.config.log_level: " +
			"Consul does not distinguish it from Log_Level: remove one of them",
		`{"tls": [{"Defaults": {"ca_file": "x", "CA_FILE": "y"}}]}`: "spec.config.tls.Defaults.ca_file: ",
	} {
		NewWithT(t).Expect(resources.CheckConfig(configured(raw))).To(MatchError(HavePrefix(message)), raw)
	}
}

// The values of the operator are what Consul reads, even if the check of the configuration were forgotten.
func TestTheOperatorsValuesWinInAnyCase(t *testing.T) {
	g := NewWithT(t)
	raw, err := resources.AgentConfig(configured(`{
		"Server": false, "DATACENTER": "x", "Leave_On_Terminate": false, "skip_leave_on_interrupt": true,
		"Ports": {"Serf_WAN": 8302}, "Performance": {"raft_multiplier": 3}, "Default_Query_Time": "200s"
	}`))
	g.Expect(err).NotTo(HaveOccurred())
	var config map[string]any
	g.Expect(json.Unmarshal(raw, &config)).To(Succeed())
	g.Expect(config).To(Equal(map[string]any{
		"server": true, "datacenter": "dc1", "leave_on_terminate": true, "skip_leave_on_interrupt": false,
		"ports":       map[string]any{"serf_wan": 8302.0},
		"performance": map[string]any{"leave_drain_time": "0s", "raft_multiplier": 3.0},
		"ui_config":   map[string]any{"enabled": true}, "disable_update_check": true,
		"limits":                map[string]any{"http_max_conns_per_client": 4096.0},
		"server_rejoin_age_max": "87600h", "Default_Query_Time": "200s",
	}))
}

// Admission refuses the same keys, with the same words.
func TestAdmissionAndTheOperatorAgree(t *testing.T) {
	g := NewWithT(t)
	raw, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "consuloperator.io_consulclusters.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	var crd apiextensionsv1.CustomResourceDefinition
	g.Expect(yaml.Unmarshal(raw, &crd)).To(Succeed())
	admission := map[string]string{}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	for _, rule := range spec.Properties["config"].XValidations {
		admission[strings.TrimPrefix(rule.FieldPath, ".")] = rule.Message
	}
	operator := map[string]string{}
	for _, rule := range resources.ConfigRules {
		if rule.Must == "" {
			operator[rule.Key] = rule.Message()
		}
	}
	g.Expect(admission).To(Equal(operator))
}
