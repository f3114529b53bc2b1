package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// restWindow is for how long nothing may happen in the end.
const restWindow = 20 * time.Second

// restTries is how often a quiet window is looked for. A cluster is not idle while autopilot doubts a server, as it does
// where a busy machine keeps a follower waiting.
const restTries = 3

// rest starts another operator, which has to leave everything as it is: it restarts nobody (I6) and writes nothing (I5).
func (c *chaos) rest(ctx context.Context, r *report) error {
	before, err := c.pods(ctx)
	if err != nil {
		return err
	}
	c.env.KillOperator()
	if err := c.env.StartOperator(); err != nil {
		return err
	}
	for range restTries {
		idle, err := c.observer.WatchIdle(ctx, restWindow)
		if err != nil {
			return err
		}
		r.restless = idle.Writes
		if len(idle.Writes) == 0 {
			break
		}
	}
	after, err := c.pods(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(before, after) {
		r.restarted = fmt.Sprintf("%v became %v", before, after)
	}
	return nil
}

// pods are the pods of the cluster and how often their containers were started.
func (c *chaos) pods(ctx context.Context) ([]string, error) {
	list := &corev1.PodList{}
	err := c.env.Client.List(ctx, list, client.InNamespace(c.key.Namespace),
		client.MatchingLabels{v1alpha1.LabelCluster: c.key.Name})
	var pods []string
	for _, pod := range list.Items {
		restarts := int32(0)
		for _, status := range pod.Status.ContainerStatuses {
			restarts += status.RestartCount
		}
		pods = append(pods, fmt.Sprintf("%s/%s restarted %d times", pod.Name, pod.UID, restarts))
	}
	slices.Sort(pods)
	return pods, err
}
