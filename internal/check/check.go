// Package check tests that an installed operator works, from inside the cluster and with only the operator's image: `helm test`
// runs it. It creates a paused ConsulCluster, so that no server starts, and waits for the operator's status. That needs the CRD
// and its admission, the watch, the lease of an active operator, and its permissions.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// Run creates the cluster, waits until the operator reports a status or the context ends, and deletes the cluster again.
func Run(ctx context.Context, api client.Client, key client.ObjectKey, every time.Duration, out io.Writer) (err error) {
	cluster := paused(key)
	// An interrupted check may have left its cluster behind.
	if err := client.IgnoreNotFound(api.Delete(ctx, cluster.DeepCopy())); err != nil {
		return fmt.Errorf("deleting the previous ConsulCluster %s: %w", key, err)
	}
	if err := api.Create(ctx, cluster); err != nil {
		return fmt.Errorf("creating the ConsulCluster %s: %w", key, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, client.IgnoreNotFound(api.Delete(ctx, cluster)))
	}()
	_, _ = fmt.Fprintf(out, "created the ConsulCluster %s, paused: no server starts\n", key)
	said, err := answer(ctx, api, key, every)
	if err != nil {
		return err
	}
	if said.Reason != string(reason.Paused) {
		return fmt.Errorf("the operator answered %s: %s", said.Reason, said.Message)
	}
	_, _ = fmt.Fprintf(out, "the operator answered %s: %s\n", said.Reason, said.Message)
	return nil
}

func paused(key client.ObjectKey) *v1alpha1.ConsulCluster {
	cluster := &v1alpha1.ConsulCluster{}
	cluster.Name, cluster.Namespace = key.Name, key.Namespace
	cluster.Spec.Version, cluster.Spec.Paused = "1.22.7", true
	cluster.Spec.Storage.Size = resource.MustParse("1Gi")
	return cluster
}

// answer waits for the operator's status of the cluster and returns its condition Ready.
func answer(ctx context.Context, api client.Client, key client.ObjectKey, every time.Duration) (*metav1.Condition, error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		cluster := &v1alpha1.ConsulCluster{}
		err := api.Get(ctx, key, cluster)
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			return nil, err
		}
		ready := apimeta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionReady)
		if err == nil && ready != nil && cluster.Status.ObservedGeneration == cluster.Generation {
			return ready, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the operator did not answer in time: is it running, and does it watch the namespace %s? (%w)",
				key.Namespace, errors.Join(ctx.Err(), err))
		}
	}
}
