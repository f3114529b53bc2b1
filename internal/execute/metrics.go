package execute

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// ensureMetrics keeps what Prometheus needs to read the servers' metrics, or deletes it.
func (e *Executor) ensureMetrics(ctx context.Context, s *observe.Snapshot) error {
	if !s.Cluster.Spec.Metrics.Enabled {
		return e.dropMetrics(ctx, s)
	}
	return errors.Join(e.ensurePodMonitor(ctx, s), e.ensureMetricsToken(ctx, s))
}

// ensurePodMonitor keeps the PodMonitor, where the API server has the kind.
func (e *Executor) ensurePodMonitor(ctx context.Context, s *observe.Snapshot) error {
	if s.PodMonitor.Unread != nil || !s.PodMonitor.Possible {
		return s.PodMonitor.Unread
	}
	if err := resources.CheckMetrics(s.Cluster); err != nil {
		return err
	}
	wanted, live := resources.PodMonitor(s.Cluster, s.TLSName), s.PodMonitor.Live
	if live == nil {
		err := e.Client.Create(ctx, wanted)
		if err == nil {
			s.PodMonitor.Live = wanted // for the status, by which one is found that is not wanted any more
		}
		return client.IgnoreNotFound(err) // the kind was deleted
	}
	if err := checkOwner(s.Cluster, live); err != nil {
		return err
	}
	return e.patchIfNeeded(ctx, live, func(o client.Object) {
		o.SetLabels(wanted.GetLabels())
		o.(*unstructured.Unstructured).Object["spec"] = wanted.Object["spec"]
	})
}

// ensureMetricsToken keeps the Secret with the token. It is written again when the token is another one.
func (e *Executor) ensureMetricsToken(ctx context.Context, s *observe.Snapshot) error {
	if s.TokensSecret == nil {
		return nil
	}
	token := resources.OperatorTokensOf(s.TokensSecret).Metrics
	if token == "" {
		return fmt.Errorf("an older operator has made the tokens, and none for metrics: rotate them, with the annotation %s",
			v1alpha1.AnnotationRotateTokens)
	}
	return e.keep(ctx, s, resources.MetricsSecret(s.Cluster, token))
}

// dropMetrics deletes it.
func (e *Executor) dropMetrics(ctx context.Context, s *observe.Snapshot) error {
	if s.PodMonitor.Unread != nil {
		return s.PodMonitor.Unread
	}
	if live := s.PodMonitor.Live; live != nil && resources.Belongs(s.Cluster, live) {
		if err := e.delete(ctx, live); err != nil {
			return err
		}
	}
	return e.drop(ctx, s, resources.MetricsSecretName(s.Cluster.Name))
}
