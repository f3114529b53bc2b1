package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// completeConfig adds to the configuration what Secrets of users hold. All that is done with spec.config is done with the whole
// then: it is checked, rendered, and a part of the revision. The ConsulCluster of the API server never has it: what is written to
// that is what differs from this one.
func (o *Observer) completeConfig(ctx context.Context, s *Snapshot) error {
	if len(s.Cluster.Spec.ConfigFrom) == 0 {
		return nil
	}
	from, err := o.configFrom(ctx, s)
	if err != nil {
		return err
	}
	if s.UserSecrets.problem != nil {
		return o.useCopy(ctx, s)
	}
	completed, err := resources.WithConfig(s.Cluster, from)
	if err == nil && resources.CheckConfig(s.Cluster) == nil { // else the spec itself is at fault
		err = resources.CheckConfig(completed)
	}
	if err != nil {
		s.UserSecrets.problem = &plan.Problem{Reason: reason.InvalidSpec, Message: fmt.Sprintf("spec.configFrom: %v", err)}
		return o.useCopy(ctx, s)
	}
	if resources.CheckConfig(completed) == nil {
		s.ConfigFrom, err = resources.ConfigFromSecret(completed, from)
	}
	s.Cluster = completed
	return err
}

// useCopy uses what was copied from Secrets of a user, because one of them cannot be used. If the spec names others by now, or
// nothing was copied, the wanted revision is not known, and what surrounds the servers stays as it is.
func (o *Observer) useCopy(ctx context.Context, s *Snapshot) error {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.Cluster.Namespace, Name: resources.ConfigFromSecretName(s.Cluster.Name)}
	if err := o.Live.Get(ctx, key, secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the copy of spec.configFrom: %w", err)
	}
	if !resources.Belongs(s.Cluster, secret) {
		s.incomplete = s.UserSecrets.problem
		return nil
	}
	copied, isOfThese := resources.ConfigFromCopy(secret, s.Cluster)
	completed, err := resources.WithConfig(s.Cluster, copied)
	if err == nil {
		s.Cluster = completed // whether it fits to the spec by now is found out as ever, see invalid
	}
	if err != nil || !isOfThese {
		s.incomplete = s.UserSecrets.problem
	}
	return nil
}

// configFrom reads what the Secrets of a user hold.
func (o *Observer) configFrom(ctx context.Context, s *Snapshot) (resources.ConfigFrom, error) {
	var parts []map[string]any
	for i, from := range s.Cluster.Spec.ConfigFrom {
		field := fmt.Sprintf("spec.configFrom[%d].secretRef", i)
		if err := o.take(ctx, s, source{field, from.SecretRef.Name, func(secret *corev1.Secret) error {
			if resources.Belongs(s.Cluster, secret) || secret.Name == resources.ConfigFromSecretName(s.Cluster.Name) {
				return fmt.Errorf("the name %s is the operator's: choose another one", secret.Name)
			}
			part, err := resources.UserConfig(secret, from.SecretRef.Key)
			parts = append(parts, part)
			return err
		}}); err != nil {
			return nil, err
		}
	}
	return resources.MergeConfig(parts...), nil
}

// withoutLog returns a pod that does not tell the last log lines of a server that has ended: they may repeat what a Secret holds,
// and would appear in the status of the cluster.
func withoutLog(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	for i := range pod.Status.ContainerStatuses {
		if ended := pod.Status.ContainerStatuses[i].LastTerminationState.Terminated; ended != nil {
			ended.Message = fmt.Sprintf("see `kubectl logs %s -c %s`", pod.Name, pod.Status.ContainerStatuses[i].Name)
		}
	}
	return pod
}
