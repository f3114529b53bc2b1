package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/consul-operator/consul-operator/test/lib/await"
)

// lookEvery is how often processes of Jobs are looked for. The kernel remembers the most that each has had.
const lookEvery = 20 * time.Millisecond

// peakMemory is the most memory that a process of a Job of this environment has until the context ends, in bytes: what the
// operator's own program needs, and not the Consul that a snapshot is verified with.
func (b *bench) peakMemory(ctx context.Context) (peak int) {
	for await.Sleep(ctx, lookEvery) == nil {
		processes, err := procfs.AllProcs()
		if err != nil {
			continue
		}
		for _, process := range processes {
			args, err := process.CmdLine()
			if err != nil || !b.isJob(args) { // it has ended, or is another one
				continue
			}
			if status, err := process.NewStatus(); err == nil {
				peak = max(peak, int(status.VmHWM)) //nolint:gosec // below 2^63
			}
		}
	}
	return peak
}

func (b *bench) isJob(args []string) bool {
	return len(args) > 2 && args[1] == "snapshot" &&
		slices.ContainsFunc(args, func(arg string) bool { return strings.Contains(arg, b.env.Dir+"/") })
}
