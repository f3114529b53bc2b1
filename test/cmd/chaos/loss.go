package main

import (
	"context"
	"time"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	// recoverAfter is the delay that the user asks for.
	recoverAfter = 5 * time.Second
	// recoveryLimit is for the recovery itself, beyond that delay.
	recoveryLimit = 3 * time.Minute
)

// recoverFromLoss is the last act: most of the servers are lost with their disks, the leader among them, and the operator is
// to recover from it without a person. Nobody writes any more, and all servers have the same, so nothing may be lost.
func (c *chaos) recoverFromLoss(ctx context.Context, r *findings) error {
	c.Observer.Disturb()
	lost, err := c.LoseQuorum(ctx)
	if err != nil {
		return err
	}
	c.faults.say("lost for good: %v", lost)
	began := time.Now()
	noticed := func(cluster *v1alpha1.ConsulCluster) bool { return cluster.Status.QuorumLostSince != nil }
	if r.notRecovered = c.WaitFor(ctx, recoveryLimit, nil, noticed); r.notRecovered == nil {
		r.unwanted, r.notRecovered = c.awaitWanted(ctx, recoverAfter+recoveryLimit)
	}
	if r.notRecovered != nil {
		return ctx.Err()
	}
	r.regained = time.Since(began)
	c.faults.say("a quorum again, and Ready")
	return nil
}
