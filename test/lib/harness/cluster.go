package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

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

// Patch changes the spec, or annotations, of a cluster with a merge patch of what differs.
func (e *Env) Patch(ctx context.Context, key client.ObjectKey, change func(*v1alpha1.ConsulCluster)) error {
	cluster := &v1alpha1.ConsulCluster{}
	if err := e.Client.Get(ctx, key, cluster); err != nil {
		return err
	}
	before := cluster.DeepCopy()
	change(cluster)
	return e.Client.Patch(ctx, cluster, client.MergeFrom(before))
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
func (e *Env) WaitReady(ctx context.Context, key client.ObjectKey, limit time.Duration, progress func(string)) error {
	return e.WaitFor(ctx, key, limit, progress, IsReady)
}

// WaitFor is WaitReady for any condition.
func (e *Env) WaitFor(ctx context.Context, key client.ObjectKey, limit time.Duration, progress func(string),
	done func(*v1alpha1.ConsulCluster) bool,
) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	said := "the API server has not answered yet"
	for {
		cluster := &v1alpha1.ConsulCluster{}
		if err := e.Client.Get(ctx, key, cluster); err == nil {
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
		case <-e.OperatorCrashed():
			return fmt.Errorf("the operator ended unexpectedly, see %s", e.OperatorLog())
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return ctx.Err()
			}
			return fmt.Errorf("%s is not there after %s; last the operator said: %s", key, limit, said)
		}
	}
}
