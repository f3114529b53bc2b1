package main

import (
	"context"
	"os/exec"
)

// fetchAhead downloads the modules of later programs while earlier ones compile: `go build` compiles nothing before it
// has all modules, and both cores would wait for the network (more than a minute for one Consul).
func fetchAhead(ctx context.Context, later []tool) {
	for _, t := range later {
		cmd := exec.CommandContext(ctx, "go", "list", "-deps", t.pkg)
		cmd.Dir, cmd.Env = t.dir, environment()
		_ = cmd.Run() // the build itself meets the same error, and tells
	}
}
