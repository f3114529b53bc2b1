package execute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Sync brings the objects that surround the servers to what they should be, and writes only where they differ. None
// of it touches a server, and it goes on while the cluster is paused.
func (e *Executor) Sync(ctx context.Context, s *observe.Snapshot) error {
	c := s.Cluster
	if err := e.syncOwners(ctx, s); err != nil { // first: the cluster may be deleted at any moment
		return err
	}
	if err := e.findClaims(ctx, s); err != nil {
		return err
	}
	if s.Spec.Invalid == nil {
		secret, err := resources.RevisionSecret(c)
		if err != nil {
			return err
		}
		if err := e.ensure(ctx, c, secret, &corev1.Secret{}, nil); err != nil {
			return err
		}
	}
	join, clients := resources.JoinService(c), resources.ClientService(c)
	account, budget := resources.ServiceAccount(c), resources.DisruptionBudget(c, s.AllPods())
	liveJoin, liveClients := &corev1.Service{}, &corev1.Service{}
	liveAccount, liveBudget := &corev1.ServiceAccount{}, &policyv1.PodDisruptionBudget{}
	for _, object := range []struct {
		wanted, live client.Object
		adopt        func()
	}{
		{account, liveAccount, func() { liveAccount.AutomountServiceAccountToken = account.AutomountServiceAccountToken }},
		{join, liveJoin, func() { adoptService(join, liveJoin) }},
		{clients, liveClients, func() { adoptService(clients, liveClients) }},
		{budget, liveBudget, func() { adoptBudget(budget, liveBudget) }},
	} {
		if err := e.ensure(ctx, c, object.wanted, object.live, object.adopt); err != nil {
			return err
		}
	}
	for _, server := range s.Servers {
		if err := e.syncClaim(ctx, c, s.Claims[server.Name]); err != nil {
			return err
		}
	}
	return e.dropRevisions(ctx, s)
}

// adoptBudget keeps the number of a disruption budget, which is planned, unless somebody has made it ask for something else.
func adoptBudget(wanted, live *policyv1.PodDisruptionBudget) {
	if resources.MinAvailable(live) > 0 {
		wanted.Spec.MinAvailable = live.Spec.MinAvailable
	}
	live.Spec = wanted.Spec
}

// adoptService takes over what the operator says of a Service and keeps what the API server filled in.
func adoptService(wanted, live *corev1.Service) {
	live.Spec.Selector, live.Spec.Ports = wanted.Spec.Selector, wanted.Spec.Ports
	live.Spec.PublishNotReadyAddresses = wanted.Spec.PublishNotReadyAddresses
}

// ensure creates an object, or lets adopt bring the live one to what is wanted if it is the cluster's. A nil adopt is for
// immutable objects.
func (e *Executor) ensure(
	ctx context.Context, c *v1alpha1.ConsulCluster, wanted, live client.Object, adopt func(),
) error {
	err := e.Client.Get(ctx, client.ObjectKeyFromObject(wanted), live)
	created := false
	if apierrors.IsNotFound(err) {
		created, err = e.create(ctx, wanted, live)
	}
	if created || err != nil {
		return err
	}
	if adopt == nil {
		return e.relabel(ctx, c, live, wanted.GetLabels())
	}
	if err := checkOwner(c, live); err != nil {
		return err
	}
	before := live.DeepCopyObject().(client.Object)
	live.SetLabels(overlay(live.GetLabels(), wanted.GetLabels()))
	live.SetOwnerReferences(resources.WithOwner(c, live.GetOwnerReferences()))
	adopt()
	if equality.Semantic.DeepEqual(before, live) {
		return nil
	}
	if err := e.Client.Update(ctx, live); err != nil {
		return fmt.Errorf("updating %s: %w", wanted.GetName(), err)
	}
	return nil
}

// syncOwners makes all volumes go or stay with the cluster, also those that were set aside. A claim that cannot be changed
// keeps no other one from it.
func (e *Executor) syncOwners(ctx context.Context, s *observe.Snapshot) error {
	claims := slices.Clone(s.Kept)
	for _, server := range s.Servers {
		claims = append(claims, s.Claims[server.Name])
	}
	var failures []error
	for _, claim := range claims {
		if resources.OwnClaim(s.Cluster, claim.DeepCopy()) {
			failures = append(failures, e.patch(ctx, claim, func(o client.Object) {
				resources.OwnClaim(s.Cluster, o.(*corev1.PersistentVolumeClaim))
			}))
		}
	}
	return errors.Join(failures...)
}

// findClaims gives the claims of servers that run their labels back: without them a claim is in no list, and its server would
// be taken for a stray.
func (e *Executor) findClaims(ctx context.Context, s *observe.Snapshot) error {
	for _, name := range slices.Sorted(maps.Keys(s.Pods)) {
		if s.Claims[name] != nil || !s.Pods[name].DeletionTimestamp.IsZero() || isKept(s, name) {
			continue
		}
		claim := &corev1.PersistentVolumeClaim{}
		err := e.readLive(ctx, client.ObjectKeyFromObject(s.Pods[name]), claim)
		if err == nil && resources.Belongs(s.Cluster, claim) {
			err = e.relabel(ctx, s.Cluster, claim, resources.Claim(s.Cluster, name, nil).Labels)
		}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

func isKept(s *observe.Snapshot, name string) bool {
	return slices.ContainsFunc(s.Kept, func(claim *corev1.PersistentVolumeClaim) bool { return claim.Name == name })
}

// syncClaim lets a volume grow.
func (e *Executor) syncClaim(ctx context.Context, c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) error {
	size := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if size.Cmp(c.Spec.Storage.Size) >= 0 || claim.Status.Phase != corev1.ClaimBound {
		return nil
	}
	return e.patch(ctx, claim, func(o client.Object) {
		o.(*corev1.PersistentVolumeClaim).Spec.Resources.Requests[corev1.ResourceStorage] = c.Spec.Storage.Size
	})
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
		revision := secrets.Items[i].Labels[v1alpha1.LabelRevision]
		if revision != "" && !used[revision] && resources.Belongs(s.Cluster, &secrets.Items[i]) {
			if err := e.delete(ctx, &secrets.Items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
