package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Majority is the leader and as many others as leave the rest without a quorum.
func Majority(c *v1alpha1.ConsulCluster) ([]string, error) {
	if c.Status.Leader == "" {
		return nil, fmt.Errorf("nobody leads %s", c.Name)
	}
	lost := []string{c.Status.Leader}
	for _, server := range c.Status.Servers {
		if server.Name != c.Status.Leader && len(lost) < int(c.Spec.Replicas)/2+1 {
			lost = append(lost, server.Name)
		}
	}
	return lost, nil
}

// CaughtUp waits until all servers have the same last entry of the Raft log. If nobody writes any more, each of them then
// has all that was ever acknowledged: Raft itself promises that of a majority only.
func (e *Env) CaughtUp(ctx context.Context, key client.ObjectKey) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		last, err := e.lastEntries(ctx, key)
		if err == nil && len(slices.Compact(slices.Sorted(slices.Values(last)))) == 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the last log entries of the servers are %v: %w", last, errors.Join(err, ctx.Err()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lastEntries are the index of the last log entry of each server.
func (e *Env) lastEntries(ctx context.Context, key client.ObjectKey) ([]string, error) {
	pods := &corev1.PodList{}
	err := e.Client.List(ctx, pods, client.InNamespace(key.Namespace), client.MatchingLabels{v1alpha1.LabelCluster: key.Name})
	if err != nil {
		return nil, err
	}
	var last []string
	for _, pod := range pods.Items {
		config := api.DefaultNonPooledConfig() // a new client for each look
		config.Address = net.JoinHostPort(pod.Status.PodIP, "8500")
		consul, err := api.NewClient(config)
		if err != nil {
			return nil, err
		}
		self, err := consul.Agent().Self()
		if err != nil {
			return nil, err
		}
		raft, _ := self["Stats"]["raft"].(map[string]any)
		last = append(last, fmt.Sprint(raft["last_log_index"]))
	}
	return last, nil
}
