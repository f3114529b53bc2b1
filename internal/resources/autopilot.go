package resources

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// keyAutopilot is the part of spec.config that goes to Consul's API instead of the servers' file: Consul reads it there only when
// a cluster is founded, and keeps the settings in Raft from then on.
const keyAutopilot = "autopilot"

// autopilotSettings are what autopilot can be told, beside min_quorum: for each how its value is read, and what it has to be.
// https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file/general#autopilot
var autopilotSettings = map[string]settingKind{
	"cleanup_dead_servers":      truth,
	"disable_upgrade_migration": truth,
	"last_contact_threshold":    duration,
	"max_trailing_logs":         count,
	"redundancy_zone_tag":       text,
	"server_stabilization_time": duration,
	"upgrade_version_tag":       text,
}

// settingKind reads values of one kind. It returns them as Go prints them.
type settingKind struct {
	is   string
	read func(value any) (printed string, ok bool)
}

var (
	truth = settingKind{"true or false", func(value any) (string, bool) {
		b, ok := value.(bool)
		return strconv.FormatBool(b), ok
	}}
	duration = settingKind{`a duration such as "10s"`, func(value any) (string, bool) {
		written, _ := value.(string)
		d, err := time.ParseDuration(written)
		return d.String(), err == nil && d >= 0
	}}
	count = settingKind{"a whole number, 0 or more", func(value any) (string, bool) {
		written, _ := value.(json.Number)
		n, err := strconv.ParseUint(written.String(), 10, 63)
		return strconv.FormatUint(n, 10), err == nil
	}}
	text = settingKind{"a text of at most 128 bytes", func(value any) (string, bool) {
		s, ok := value.(string)
		return s, ok && len(s) <= 128
	}}
)

// Autopilot returns what spec.config tells autopilot, by the names of the settings. It fails if a setting does not exist or
// cannot have its value; the error names the field.
func Autopilot(c *v1alpha1.ConsulCluster) (map[string]string, error) {
	config, err := c.Spec.Config.Values()
	if err != nil {
		return nil, fmt.Errorf("spec.%w", err)
	}
	field := spelling(config, keyAutopilot)
	value := single(config[field])
	if value == nil {
		return nil, nil
	}
	object, isObject := value.(map[string]any)
	if !isObject {
		return nil, fmt.Errorf("spec.config.%s: it must be an object", field)
	}
	settings := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if object[key] == nil { // null is not set
			continue
		}
		kind, known := autopilotSettings[fold(key)]
		if !known {
			return nil, fmt.Errorf("spec.config.%s.%s: autopilot has no such setting: it has %s",
				field, key, strings.Join(slices.Sorted(maps.Keys(autopilotSettings)), ", "))
		}
		printed, ok := kind.read(single(object[key]))
		if !ok {
			return nil, fmt.Errorf("spec.config.%s.%s: it must be %s", field, key, kind.is)
		}
		settings[fold(key)] = printed
	}
	return settings, nil
}
