package plan

import "github.com/consul-operator/consul-operator/api/reason"

// awaitReload says how many servers have read the settings that are wanted.
func awaitReload(v view) *Decision {
	behind := v.behind()
	if len(behind) == 0 {
		return nil
	}
	return wait(steadily, reason.ReloadingSettings, "%d of %d servers have read spec.config again, without a restart; next is %s",
		len(v.staying)-len(behind), len(v.staying), behind[0].Name)
}
