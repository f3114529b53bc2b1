package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

const (
	// recoverAfter is the delay that the user asks for.
	recoverAfter = 5 * time.Second
	// recoveryLimit is for the recovery itself, beyond that delay.
	recoveryLimit = 3 * time.Minute
)

// loseQuorum is the last act: most of the servers are lost with their disks, the leader among them, and the operator is
// to recover from it without a person. Nobody writes any more, and all servers have the same, so nothing may be lost.
func (c *chaos) loseQuorum(ctx context.Context, r *report) error {
	lost, err := c.mostServers(ctx)
	if err != nil {
		return err
	}
	c.faults.say("lost for good: %v", lost)
	began := time.Now()
	c.observer.Disturb()
	// A kubelet sends SIGTERM whatever grace it is told to give, and a server that gets it would leave in good order.
	for _, server := range lost {
		if _, err := c.faults.signal(server, syscall.SIGSTOP); err != nil {
			return err
		}
	}
	for _, server := range lost {
		if err := c.destroy(ctx, server); err != nil {
			return err
		}
	}
	noticed := func(cluster *v1alpha1.ConsulCluster) bool { return cluster.Status.QuorumLostSince != nil }
	if r.notRecovered = c.env.WaitFor(ctx, c.key, recoveryLimit, nil, noticed); r.notRecovered == nil {
		r.notRecovered = c.env.WaitReady(ctx, c.key, recoverAfter+recoveryLimit, nil)
	}
	if r.notRecovered != nil {
		return ctx.Err()
	}
	r.regained = time.Since(began)
	c.faults.say("a quorum again, and Ready")
	r.unwanted = append(r.unwanted, c.awaitWanted(ctx)...)
	return nil
}

// mostServers are named once all of them have the same.
func (c *chaos) mostServers(ctx context.Context) ([]string, error) {
	if err := c.env.CaughtUp(ctx, c.key); err != nil {
		return nil, err
	}
	cluster := &v1alpha1.ConsulCluster{}
	if err := c.env.Client.Get(ctx, c.key, cluster); err != nil {
		return nil, err
	}
	return harness.Majority(cluster)
}

// destroy takes a server away with its disk, at once.
func (c *chaos) destroy(ctx context.Context, server string) error {
	c.observer.ForfeitClaim(server)
	meta := metav1.ObjectMeta{Namespace: c.key.Namespace, Name: server}
	err := client.IgnoreNotFound(c.env.Client.Delete(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: meta}))
	if err != nil {
		return fmt.Errorf("claim of %s: %w", server, err)
	}
	// The operator may have been faster with the pod.
	return client.IgnoreNotFound(c.env.Client.Delete(ctx, &corev1.Pod{ObjectMeta: meta}, client.GracePeriodSeconds(0)))
}
