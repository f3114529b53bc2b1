package resources_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// FuzzAgentConfig merges any user configuration: the values that the operator relies on must always hold, what the user
// wrote must survive, and anything but an object must be rejected by name. The corpus is in testdata/fuzz.
func FuzzAgentConfig(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `[]`, `{"log_level":"DEBUG"}`, `{"ports":{"serf_wan":8302,"dns":-1}}`, `{"ports":5}`,
		`{"performance":{"leave_drain_time":"5s","raft_multiplier":3}}`, `{"server":false}`, `{"leave_on_terminate":false}`,
		`{"autopilot":{},"node_meta":{"a":"b"},"Limits":{"request_limits":{},"x":1}}`,
		`{"limits":{"http_max_conns_per_client":9007199254740993}}`, `{"a":1}{"b":2}`, `{"":{"":""}}`,
		`{"Server":false,"Ports":{"Serf_Wan":1},"ports":{"serf_wan":2}}`, `{"ſerver":false}`, `{"a":1,"A":{"b":2}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := &v1alpha1.ConsulCluster{}
		c.Spec.Datacenter = "dc1"
		c.Spec.Config = &v1alpha1.Config{Raw: bytes.Clone(raw)}
		merged, err := resources.AgentConfig(c)
		if err != nil {
			if !bytes.Contains([]byte(err.Error()), []byte("spec.config")) {
				t.Fatalf("an error that does not name the field: %v", err)
			}
			return
		}
		again, err := resources.AgentConfig(c)
		if err != nil || !bytes.Equal(merged, again) {
			t.Fatalf("rendered twice, not the same: I6 (%v)", err)
		}
		settings, hash, err := resources.Settings(c)
		if err == nil && (hash == "") != (settings == "{}") {
			t.Fatalf("hash %q of the settings %s", hash, settings)
		}
		if err == nil {
			checkMerged(t, raw, merged, settings)
		}
	})
}

func checkMerged(t *testing.T, raw, merged []byte, settings string) {
	t.Helper()
	var config map[string]any
	if err := json.Unmarshal(merged, &config); err != nil {
		t.Fatalf("not a JSON object: %v\n%s", err, merged)
	}
	if config["server"] != true || config["datacenter"] != "dc1" || config["leave_on_terminate"] != true {
		t.Fatalf("what the operator relies on is lost:\n%s", merged)
	}
	var user map[string]any
	if json.Unmarshal(raw, &user) != nil {
		return
	}
	written := map[string]bool{"autopilot": true} // goes to Consul's API
	var reloaded map[string]any
	if err := json.Unmarshal([]byte(settings), &reloaded); err != nil {
		t.Fatalf("not a JSON object: %v\n%s", err, settings)
	}
	for key := range config {
		if folded := strings.ToLower(strings.ToUpper(key)); written[folded] {
			t.Fatalf("%q is there twice:\n%s", key, merged)
		} else {
			written[folded] = true
		}
	}
	for key := range reloaded { // the rest of an object may be in the other file
		written[key] = true
	}
	for key := range user {
		if !written[strings.ToLower(strings.ToUpper(key))] {
			t.Fatalf("%q of the user is lost:\n%s", key, merged)
		}
	}
}
