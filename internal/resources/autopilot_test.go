package resources_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func TestAutopilot(t *testing.T) {
	for config, wanted := range map[string]map[string]string{
		`{}`:                  nil,
		`{"autopilot": null}`: nil,
		`{"autopilot": {"cleanup_dead_servers": false, "max_trailing_logs": 500, "last_contact_threshold": "0.5s"}}`: {
			"cleanup_dead_servers": "false", "max_trailing_logs": "500", "last_contact_threshold": "500ms",
		},
		`{"AutoPilot": [{"Server_Stabilization_Time": "1m", "upgrade_version_tag": "v", "redundancy_zone_tag": null}]}`: {
			"server_stabilization_time": "1m0s", "upgrade_version_tag": "v",
		},
	} {
		t.Run(config, func(t *testing.T) {
			g := NewWithT(t)
			c := plain()
			c.Spec.Config = &v1alpha1.Config{Raw: []byte(config)}
			g.Expect(resources.CheckConfig(c)).To(Succeed())
			g.Expect(resources.Autopilot(c)).To(Equal(wanted))
			file, err := resources.AgentConfig(c)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(file)).NotTo(ContainSubstring("utopilot"))
			g.Expect(string(file)).NotTo(ContainSubstring("utoPilot"))
		})
	}
}

func TestWhatAutopilotCannotBeTold(t *testing.T) {
	for autopilot, message := range map[string]string{
		`3`:                                    ": it must be an object",
		`{"max_trailing_logs": "many"}`:        ".max_trailing_logs: it must be a whole number, 0 or more",
		`{"max_trailing_logs": -1}`:            ".max_trailing_logs: it must be a whole number, 0 or more",
		`{"cleanup_dead_servers": 1}`:          ".cleanup_dead_servers: it must be true or false",
		`{"last_contact_threshold": 200}`:      `.last_contact_threshold: it must be a duration such as "10s"`,
		`{"Server_Stabilization_Time": "-1s"}`: `.Server_Stabilization_Time: it must be a duration such as "10s"`,
		`{"upgrade_version_tag": {}}`:          ".upgrade_version_tag: it must be a text of at most 128 bytes",
		`{"min_quorum": 2}`:                    ".min_quorum: autopilot.min_quorum belongs to the operator: it follows spec.replicas",
		`{"cleanup": true}`: ".cleanup: autopilot has no such setting: it has cleanup_dead_servers, disable_upgrade_migration, " +
			"last_contact_threshold, max_trailing_logs, redundancy_zone_tag, server_stabilization_time, upgrade_version_tag",
	} {
		t.Run(autopilot, func(t *testing.T) {
			c := plain()
			c.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"autopilot": ` + autopilot + `}`)}
			NewWithT(t).Expect(resources.CheckConfig(c)).To(MatchError("spec.config.autopilot" + message))
		})
	}
}
