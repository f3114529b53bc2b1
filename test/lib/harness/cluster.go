package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Sample is the ConsulCluster of config/samples, in the namespace default.
func Sample() (*v1alpha1.ConsulCluster, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(root, "config", "samples", "consulcluster.yaml")) //nolint:gosec // our own file
	if err != nil {
		return nil, err
	}
	cluster := &v1alpha1.ConsulCluster{}
	if err := yaml.UnmarshalStrict(raw, cluster); err != nil {
		return nil, fmt.Errorf("config/samples/consulcluster.yaml: %w", err)
	}
	if cluster.Namespace == "" {
		cluster.Namespace = "default"
	}
	return cluster, nil
}

// Create creates the scene's cluster.
func (s *Scene) Create(ctx context.Context, cluster *v1alpha1.ConsulCluster) error {
	s.Key = client.ObjectKeyFromObject(cluster)
	return s.Client.Create(ctx, cluster)
}

// Get reads the cluster.
func (s *Scene) Get(ctx context.Context) (*v1alpha1.ConsulCluster, error) {
	cluster := &v1alpha1.ConsulCluster{}
	return cluster, s.Client.Get(ctx, s.Key, cluster)
}

// Patch changes the spec, or annotations, with a merge patch of what differs.
func (s *Scene) Patch(ctx context.Context, change func(*v1alpha1.ConsulCluster)) error {
	cluster, err := s.Get(ctx)
	if err != nil {
		return err
	}
	before := cluster.DeepCopy()
	change(cluster)
	return s.Client.Patch(ctx, cluster, client.MergeFrom(before))
}

// Pods are the pods of the servers, by name: their UID, their node, and how often their containers were restarted.
func (s *Scene) Pods(ctx context.Context) (map[string]string, error) {
	list := &corev1.PodList{}
	err := s.Client.List(ctx, list, client.InNamespace(s.Key.Namespace), client.MatchingLabels{v1alpha1.LabelCluster: s.Key.Name})
	pods := map[string]string{}
	for _, pod := range list.Items {
		restarts := int32(0)
		for _, container := range pod.Status.ContainerStatuses {
			restarts += container.RestartCount
		}
		pods[pod.Name] = fmt.Sprintf("%s on %s, %d restarts", pod.UID, pod.Spec.NodeName, restarts)
	}
	return pods, err
}

// IsReady says whether the status speaks of the newest spec and calls it reached.
func IsReady(cluster *v1alpha1.ConsulCluster) bool {
	return cluster.Status.ObservedGeneration == cluster.Generation &&
		apimeta.IsStatusConditionTrue(cluster.Status.Conditions, v1alpha1.ConditionReady)
}

// Saying is what the operator says about the cluster, in one line.
func Saying(cluster *v1alpha1.ConsulCluster) string {
	condition := apimeta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionReady)
	if condition == nil {
		return "the operator has not said anything yet"
	}
	return condition.Reason + ": " + condition.Message
}

// WaitReady waits until the cluster is Ready at its newest generation. It calls progress, which may be nil, with what
// the operator says whenever that changes, and gives up with its last words.
func (s *Scene) WaitReady(ctx context.Context, limit time.Duration, progress func(string)) error {
	return s.WaitFor(ctx, limit, progress, IsReady)
}

// WaitFor is WaitReady for any condition.
func (s *Scene) WaitFor(ctx context.Context, limit time.Duration, progress func(string),
	done func(*v1alpha1.ConsulCluster) bool,
) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	said := "the API server has not answered yet"
	for {
		if cluster, err := s.Get(ctx); err == nil {
			if now := Saying(cluster); now != said {
				said = now
				if progress != nil {
					progress(said)
				}
			}
			if done(cluster) {
				return nil
			}
		}
		select {
		case <-ticker.C:
		case <-s.OperatorCrashed():
			return fmt.Errorf("the operator ended unexpectedly, see %s", s.OperatorLog())
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return ctx.Err()
			}
			return fmt.Errorf("%s is not there after %s; last the operator said: %s", s.Key, limit, said)
		}
	}
}
