package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	// recoverAfter is the delay that the user asks for.
	recoverAfter = 5 * time.Second
	// recoveryLimit is for the recovery itself, beyond that delay.
	recoveryLimit = 3 * time.Minute
)

// loseQuorum is the last act: most of the servers are lost with their disks, the leader among them, and the operator is
// to recover from it without a person. Nobody writes any more, so those who are left have all that was ever acknowledged.
func (c *chaos) loseQuorum(ctx context.Context, r *report) error {
	err := c.env.Patch(ctx, c.key, func(cluster *v1alpha1.ConsulCluster) {
		cluster.Spec.Recovery.Mode = v1alpha1.RecoveryAutomatic
		cluster.Spec.Recovery.After = &metav1.Duration{Duration: recoverAfter}
	})
	if err != nil {
		return err
	}
	lost, err := c.majority(ctx)
	if err != nil {
		return err
	}
	c.faults.say("lost for good: %v", lost)
	began := time.Now()
	c.observer.Disturb()
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

// majority is the leader and as many others as leave the rest without a quorum.
func (c *chaos) majority(ctx context.Context) ([]string, error) {
	cluster := &v1alpha1.ConsulCluster{}
	if err := c.env.Client.Get(ctx, c.key, cluster); err != nil {
		return nil, err
	}
	lost := []string{cluster.Status.Leader}
	for _, server := range cluster.Status.Servers {
		if server.Name != cluster.Status.Leader && len(lost) < int(cluster.Spec.Replicas)/2+1 {
			lost = append(lost, server.Name)
		}
	}
	return lost, nil
}

// destroy takes a server away with its disk, at once.
func (c *chaos) destroy(ctx context.Context, server string) error {
	c.observer.ForfeitClaim(server)
	meta := metav1.ObjectMeta{Namespace: c.key.Namespace, Name: server}
	if err := c.env.Client.Delete(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: meta}); err != nil {
		return fmt.Errorf("claim of %s: %w", server, err)
	}
	return c.env.Client.Delete(ctx, &corev1.Pod{ObjectMeta: meta}, client.GracePeriodSeconds(0))
}
