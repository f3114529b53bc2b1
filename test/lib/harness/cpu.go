package harness

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// ConsulCPU is how much processor time those Consul processes of the environment have used that run.
func (e *Env) ConsulCPU() (time.Duration, error) {
	processes, err := procfs.AllProcs()
	if err != nil {
		return 0, err
	}
	seconds := 0.0
	for _, process := range processes {
		args, err := process.CmdLine()
		if err != nil || !isAgentIn(e.Dir, args) { // it has ended, or is another one
			continue
		}
		if stat, err := process.Stat(); err == nil {
			seconds += stat.CPUTime()
		}
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// isAgentIn reports whether arguments are those of a Consul agent whose files are in a directory.
func isAgentIn(dir string, args []string) bool {
	return len(args) > 1 && filepath.Base(args[0]) == "consul" && args[1] == "agent" &&
		slices.ContainsFunc(args, func(arg string) bool { return strings.Contains(arg, dir+"/") })
}
