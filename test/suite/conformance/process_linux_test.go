package conformance

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
)

// settings of a cluster that differ from script to script.
type settings struct {
	minQuorum int
	// stabilization is how long a server has to be healthy before it is promoted, a second if it does not matter.
	stabilization string
}

// config is that of the operator's servers, but that they try to join again sooner.
func (s settings) config() []byte {
	type object = map[string]any
	config, err := json.Marshal(object{
		"server": true, "leave_on_terminate": true, "skip_leave_on_interrupt": false,
		"disable_update_check": true, "retry_interval": "1s",
		"ports":       object{"serf_wan": -1, "grpc": -1, "grpc_tls": -1, "dns": -1},
		"performance": object{"raft_multiplier": 1, "leave_drain_time": "0s"},
		// That a server leaves is told a few times, by UDP, and where others are frozen few can pass it on. On a busy machine nobody
		// heard it once, and Serf called the server failed. The scenarios are about what follows from it.
		"gossip_lan": object{"retransmit_mult": 16},
		"autopilot": object{
			"cleanup_dead_servers": true, "min_quorum": s.minQuorum,
			"server_stabilization_time": s.stabilization,
		},
	})
	if err != nil {
		panic(err)
	}
	return config
}

// tail is the end of a log, for when a test fails.
func tail(dir string) []byte {
	const lines = 40
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	all := bytes.Split(log, []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
