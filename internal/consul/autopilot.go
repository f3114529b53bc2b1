package consul

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"
)

// SettingMinQuorum is the name of the setting of autopilot that follows the size of the cluster.
const SettingMinQuorum = "min_quorum"

func (a *agent) Autopilot(ctx context.Context) (map[string]string, error) {
	conf, err := a.autopilot(ctx)
	if err != nil {
		return nil, err
	}
	settings := settingsOf(conf)
	return settings, short(settings["redundancy_zone_tag"], settings["upgrade_version_tag"])
}

func (a *agent) autopilot(ctx context.Context) (conf *api.AutopilotConfiguration, err error) {
	err = a.call(ctx, "autopilot configuration", func(c *api.Client) error {
		conf, err = c.Operator().AutopilotGetConfiguration(nil)
		return err
	})
	return conf, err
}

// casAttempts limits how often SetAutopilot retries after a concurrent change.
const casAttempts = 3

func (a *agent) SetAutopilot(ctx context.Context, settings map[string]string) error {
	for range casAttempts {
		conf, err := a.autopilot(ctx)
		if err != nil {
			return err
		}
		before := settingsOf(conf)
		changes := false
		for name, value := range settings {
			changes = changes || before[name] != value
			if err := set(conf, name, value); err != nil {
				return fmt.Errorf("autopilot's %s: %w", name, err)
			}
		}
		if !changes {
			return nil
		}
		var done bool
		err = a.call(ctx, "autopilot configuration", func(c *api.Client) error {
			done, err = c.Operator().AutopilotCASConfiguration(conf, nil)
			return err
		})
		if err != nil || done {
			return err
		}
	}
	return fmt.Errorf("autopilot configuration on %s: %w", a.target.Address, ErrConflict)
}

// settingsOf are the settings of autopilot by their names in Consul's configuration files, each as Go prints its value.
func settingsOf(c *api.AutopilotConfiguration) map[string]string {
	return map[string]string{
		"cleanup_dead_servers":      strconv.FormatBool(c.CleanupDeadServers),
		"disable_upgrade_migration": strconv.FormatBool(c.DisableUpgradeMigration),
		"last_contact_threshold":    c.LastContactThreshold.String(),
		"max_trailing_logs":         strconv.FormatUint(c.MaxTrailingLogs, 10),
		SettingMinQuorum:            strconv.FormatUint(uint64(c.MinQuorum), 10),
		"redundancy_zone_tag":       c.RedundancyZoneTag,
		"server_stabilization_time": c.ServerStabilizationTime.String(),
		"upgrade_version_tag":       c.UpgradeVersionTag,
	}
}

// set changes one setting.
func set(c *api.AutopilotConfiguration, name, value string) (err error) {
	switch name {
	case "cleanup_dead_servers":
		c.CleanupDeadServers, err = strconv.ParseBool(value)
	case "disable_upgrade_migration":
		c.DisableUpgradeMigration, err = strconv.ParseBool(value)
	case "last_contact_threshold":
		c.LastContactThreshold, err = readable(value)
	case "max_trailing_logs":
		c.MaxTrailingLogs, err = strconv.ParseUint(value, 10, 64)
	case SettingMinQuorum:
		var n uint64
		n, err = strconv.ParseUint(value, 10, 31)
		c.MinQuorum = uint(n)
	case "redundancy_zone_tag":
		c.RedundancyZoneTag = value
	case "server_stabilization_time":
		c.ServerStabilizationTime, err = readable(value)
	case "upgrade_version_tag":
		c.UpgradeVersionTag = value
	default:
		err = fmt.Errorf("there is no such setting")
	}
	return err
}

func readable(value string) (*api.ReadableDuration, error) {
	d, err := time.ParseDuration(value)
	return api.NewReadableDuration(d), err
}
