package main

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// restWindow is for how long nothing may happen in the end.
const restWindow = 20 * time.Second

// restTries is how often a quiet window is looked for. A cluster is not idle while autopilot doubts a server, as it does
// where a busy machine keeps a follower waiting.
const restTries = 3

// rest starts another operator, which has to leave everything as it is: it restarts nobody (I6) and writes nothing (I5).
func (c *chaos) rest(ctx context.Context, r *findings) error {
	before, err := c.Pods(ctx)
	if err != nil {
		return err
	}
	c.KillOperator()
	if err := c.StartOperator(); err != nil {
		return err
	}
	for range restTries {
		idle, err := c.Observer.WatchIdle(ctx, restWindow)
		if err != nil {
			return err
		}
		r.restless = idle.Writes
		if len(idle.Writes) == 0 {
			break
		}
	}
	after, err := c.Pods(ctx)
	if err != nil {
		return err
	}
	if !maps.Equal(before, after) {
		r.restarted = fmt.Sprintf("%v became %v", before, after)
	}
	return nil
}
