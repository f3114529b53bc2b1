package execute

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// surroundings brings the objects that surround the servers to what they should be, and writes only where they differ. None of
// it touches a server, and it goes on while the cluster is paused.
func (e *Executor) surroundings(s *observe.Snapshot) []attempt {
	c := s.Cluster
	join, clients := resources.JoinService(c), resources.ClientService(c)
	account, budget := resources.ServiceAccount(c), resources.DisruptionBudget(c)
	liveJoin, liveClients := &corev1.Service{}, &corev1.Service{}
	liveAccount, liveBudget := &corev1.ServiceAccount{}, &policyv1.PodDisruptionBudget{}
	attempts := []attempt{
		{"Secret of revision " + s.Spec.Revision, func(ctx context.Context) error { return e.ensureRevision(ctx, s) }},
		{"ServiceAccount " + account.Name, func(ctx context.Context) error {
			return e.ensure(ctx, account, liveAccount, func() {
				liveAccount.AutomountServiceAccountToken = account.AutomountServiceAccountToken
			})
		}},
		{"Service " + join.Name, func(ctx context.Context) error {
			return e.ensure(ctx, join, liveJoin, func() { adoptService(join, liveJoin) })
		}},
		{"Service " + clients.Name, func(ctx context.Context) error {
			return e.ensure(ctx, clients, liveClients, func() { adoptService(clients, liveClients) })
		}},
		{"PodDisruptionBudget " + budget.Name, func(ctx context.Context) error {
			return e.ensure(ctx, budget, liveBudget, func() { adoptBudget(c, budget, liveBudget) })
		}},
		{"Secrets of old revisions", func(ctx context.Context) error { return e.dropRevisions(ctx, s) }},
	}
	for _, server := range s.Servers {
		claim := s.Claims[server.Name]
		attempts = append(attempts,
			attempt{"owner of volume claim " + server.Name, func(ctx context.Context) error { return e.syncOwner(ctx, c, claim) }},
			attempt{"size of volume claim " + server.Name, func(ctx context.Context) error { return e.grow(ctx, c, claim) }})
	}
	return attempts
}

// ensureRevision writes the wanted revision down. A spec that cannot be honored has none.
func (e *Executor) ensureRevision(ctx context.Context, s *observe.Snapshot) error {
	if s.Spec.Invalid != nil {
		return nil
	}
	secret, err := resources.RevisionSecret(s.Cluster)
	if err != nil {
		return err
	}
	return e.ensure(ctx, secret, &corev1.Secret{}, nil)
}

// adoptBudget leaves a disruption budget open, or not: that is planned.
func adoptBudget(c *v1alpha1.ConsulCluster, wanted, live *policyv1.PodDisruptionBudget) {
	if resources.IsOpen(live) {
		wanted = resources.OpenDisruptionBudget(c)
	}
	live.Spec = wanted.Spec
}

// adoptService takes over what the operator says of a Service and keeps what the API server filled in.
func adoptService(wanted, live *corev1.Service) {
	live.Spec.Selector, live.Spec.Ports = wanted.Spec.Selector, wanted.Spec.Ports
	live.Spec.PublishNotReadyAddresses = wanted.Spec.PublishNotReadyAddresses
}

// ensure creates an object, or lets adopt bring the live one to what is wanted. A nil adopt is for immutable objects.
func (e *Executor) ensure(ctx context.Context, wanted, live client.Object, adopt func()) error {
	err := e.Client.Get(ctx, client.ObjectKeyFromObject(wanted), live)
	if apierrors.IsNotFound(err) {
		return client.IgnoreAlreadyExists(e.Client.Create(ctx, wanted))
	}
	if err != nil || adopt == nil {
		return err
	}
	before := live.DeepCopyObject().(client.Object)
	live.SetLabels(overlay(live.GetLabels(), wanted.GetLabels()))
	adopt()
	if equality.Semantic.DeepEqual(before, live) {
		return nil
	}
	if err := e.Client.Update(ctx, live); err != nil {
		return fmt.Errorf("updating %s: %w", wanted.GetName(), err)
	}
	return nil
}

func overlay(base, over map[string]string) map[string]string {
	merged := map[string]string{}
	maps.Copy(merged, base)
	maps.Copy(merged, over)
	return merged
}

// syncOwner makes a volume go or stay with the cluster.
func (e *Executor) syncOwner(ctx context.Context, c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) error {
	owners := resources.ClaimOwners(c)
	if len(owners) == len(claim.OwnerReferences) {
		return nil
	}
	return e.patch(ctx, claim, func(o client.Object) { o.SetOwnerReferences(owners) })
}

// errCannotGrow is what the API server says of a volume whose StorageClass does not allow it to grow.
var errCannotGrow = errors.New("the volume cannot grow")

// grow lets a volume grow. Whether it can is up to its StorageClass.
func (e *Executor) grow(ctx context.Context, c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) error {
	size := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if size.Cmp(c.Spec.Storage.Size) >= 0 || claim.Status.Phase != corev1.ClaimBound {
		return nil
	}
	err := e.patch(ctx, claim, func(o client.Object) {
		o.(*corev1.PersistentVolumeClaim).Spec.Resources.Requests[corev1.ResourceStorage] = c.Spec.Storage.Size
	})
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return fmt.Errorf("%w: %w", errCannotGrow, err)
	}
	return err
}

// dropRevisions deletes the revisions that no server runs and nobody wants.
func (e *Executor) dropRevisions(ctx context.Context, s *observe.Snapshot) error {
	used := map[string]bool{s.Spec.Revision: true}
	for _, server := range s.Servers {
		used[server.Revision] = true
		if server.Pod != nil {
			used[server.Pod.Revision] = true
		}
	}
	var secrets corev1.SecretList
	if err := e.Client.List(ctx, &secrets, client.InNamespace(s.Cluster.Namespace), client.MatchingLabels{
		v1alpha1.LabelCluster: s.Cluster.Name, v1alpha1.LabelClusterUID: string(s.Cluster.UID),
	}); err != nil {
		return fmt.Errorf("listing revisions: %w", err)
	}
	for i := range secrets.Items {
		if revision := secrets.Items[i].Labels[v1alpha1.LabelRevision]; revision != "" && !used[revision] {
			if err := e.delete(ctx, &secrets.Items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
