package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/await"
)

// LoseQuorum takes servers away with their volumes, the leader and as many others as leave the rest without a quorum, and
// names them. Nobody may write any more: all servers have all that was ever acknowledged before.
func (s *Scene) LoseQuorum(ctx context.Context) ([]string, error) {
	if err := s.caughtUp(ctx); err != nil {
		return nil, err
	}
	cluster, err := s.Get(ctx)
	if err != nil {
		return nil, err
	}
	lost, err := majority(cluster)
	if err != nil {
		return nil, err
	}
	// A kubelet sends SIGTERM whatever grace it is told to give, and a server that gets it would leave in good order.
	for _, server := range lost {
		process, runs := s.Process(ctx, server)
		if !runs {
			return nil, fmt.Errorf("%s does not run", server)
		}
		if err := process.Signal(syscall.SIGSTOP); err != nil {
			return nil, fmt.Errorf("%s: %w", server, err)
		}
	}
	for _, server := range lost {
		if err := s.Destroy(ctx, server); err != nil {
			return nil, fmt.Errorf("%s: %w", server, err)
		}
	}
	return lost, nil
}

// Destroy takes a server away without a leave, with its volume, as a node pool's upgrade does.
func (s *Scene) Destroy(ctx context.Context, server string) error {
	s.Observer.ForfeitClaim(server)
	meta := metav1.ObjectMeta{Namespace: s.Key.Namespace, Name: server}
	// The operator may be faster with either of them.
	return errors.Join(
		client.IgnoreNotFound(s.Client.Delete(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: meta})),
		client.IgnoreNotFound(s.Client.Delete(ctx, &corev1.Pod{ObjectMeta: meta}, client.GracePeriodSeconds(0))))
}

// majority is the leader and as many others as leave the rest without a quorum.
func majority(c *v1alpha1.ConsulCluster) ([]string, error) {
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

// caughtUp waits until all servers have the same last entry of the Raft log. If nobody writes any more, each of them then
// has all that was ever acknowledged: Raft itself promises that of a majority only.
func (s *Scene) caughtUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return await.Success(ctx, 20*time.Millisecond, func() error {
		last, err := s.lastEntries(ctx)
		if err == nil && len(slices.Compact(slices.Sorted(slices.Values(last)))) != 1 {
			err = fmt.Errorf("the last log entries of the servers are %v", last)
		}
		return err
	})
}

// lastEntries are the index of the last log entry of each server.
func (s *Scene) lastEntries(ctx context.Context) ([]string, error) {
	pods := &corev1.PodList{}
	err := s.Client.List(ctx, pods, client.InNamespace(s.Key.Namespace), client.MatchingLabels{v1alpha1.LabelCluster: s.Key.Name})
	if err != nil {
		return nil, err
	}
	var last []string
	for _, pod := range pods.Items {
		self, err := s.Self(ctx, pod.Status.PodIP)
		if err != nil {
			return nil, err
		}
		raft, _ := self["Stats"]["raft"].(map[string]any)
		last = append(last, fmt.Sprint(raft["last_log_index"]))
	}
	return last, nil
}
