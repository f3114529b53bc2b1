package execute

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// keep keeps a Secret that follows from others as it is wanted. It asks the cache first.
func (e *Executor) keep(ctx context.Context, s *observe.Snapshot, wanted *corev1.Secret) error {
	seen := &corev1.Secret{}
	err := e.Client.Get(ctx, client.ObjectKeyFromObject(wanted), seen)
	if client.IgnoreNotFound(err) != nil || err == nil && resources.CachedDigest(seen) == resources.Digest(wanted) {
		return err
	}
	return e.put(ctx, s.Cluster, wanted)
}

// drop deletes such a Secret, if it is the cluster's.
func (e *Executor) drop(ctx context.Context, s *observe.Snapshot, name string) error {
	secret := &corev1.Secret{}
	if err := e.Client.Get(ctx, client.ObjectKey{Namespace: s.Cluster.Namespace, Name: name}, secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !resources.Belongs(s.Cluster, secret) {
		return nil
	}
	return e.delete(ctx, secret)
}

// ensureConfigFrom keeps a copy of the configuration in Secrets of users, and dropConfigFrom deletes it when it is of no use any
// more.
func (e *Executor) ensureConfigFrom(ctx context.Context, s *observe.Snapshot) error {
	if s.ConfigFrom == nil {
		return nil
	}
	err := e.keep(ctx, s, s.ConfigFrom)
	if taken := (*TakenError)(nil); errors.As(err, &taken) {
		taken.Or = ", or remove spec.configFrom"
	}
	return err
}

func (e *Executor) dropConfigFrom(ctx context.Context, s *observe.Snapshot) error {
	if len(s.Cluster.Spec.ConfigFrom) > 0 {
		return nil
	}
	return e.drop(ctx, s, resources.ConfigFromSecretName(s.Cluster.Name))
}
