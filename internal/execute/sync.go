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
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// surroundings brings the objects that surround the servers to what they should be, and writes only where they differ. None of
// it touches a server, and it goes on while the cluster is paused. Owners of volumes come first: the cluster may be deleted at
// any moment.
func (e *Executor) surroundings(s *observe.Snapshot) []attempt {
	c := s.Cluster
	join, clients := resources.JoinService(c), resources.ClientService(c)
	account, budget := resources.ServiceAccount(c), resources.DisruptionBudget(c, s.AllPods())
	liveJoin, liveClients := &corev1.Service{}, &corev1.Service{}
	liveAccount, liveBudget := &corev1.ServiceAccount{}, &policyv1.PodDisruptionBudget{}
	attempts := append(e.owners(s),
		attempt{"Secret of revision " + s.Spec.Revision, func(ctx context.Context) error { return e.ensureRevision(ctx, s) }},
		attempt{"Secret of the gossip key", func(ctx context.Context) error { return e.ensureGossipKey(ctx, s) }},
		attempt{"Secrets of the certificates", func(ctx context.Context) error { return e.ensureCertificates(ctx, s) }},
		attempt{"Secrets of the ACL tokens", func(ctx context.Context) error { return e.ensureTokens(ctx, s) }},
		attempt{"PodMonitor and its token", func(ctx context.Context) error {
			return notNeeded(e.ensureMetrics(ctx, s), "set spec.metrics.enabled to false")
		}},
		attempt{plan.AttemptNetworkPolicy, func(ctx context.Context) error { return e.networkPolicy(ctx, s) }},
		attempt{"labels of volume claims", func(ctx context.Context) error { return e.findClaims(ctx, s) }},
		attempt{"ServiceAccount " + account.Name, func(ctx context.Context) error {
			return e.ensure(ctx, c, account, liveAccount, func() {
				liveAccount.AutomountServiceAccountToken = account.AutomountServiceAccountToken
			})
		}},
		attempt{"ServiceAccount of snapshots", func(ctx context.Context) error { return e.ensureSnapshotAccount(ctx, c) }},
		attempt{"Service " + join.Name, func(ctx context.Context) error {
			return e.ensure(ctx, c, join, liveJoin, func() { adoptService(join, liveJoin) })
		}},
		attempt{"Service " + clients.Name, func(ctx context.Context) error {
			return e.ensure(ctx, c, clients, liveClients, func() { adoptService(clients, liveClients) })
		}},
		attempt{"PodDisruptionBudget " + budget.Name, func(ctx context.Context) error {
			return e.ensure(ctx, c, budget, liveBudget, func() { adoptBudget(budget, liveBudget) })
		}},
		attempt{"copy of spec.configFrom", func(ctx context.Context) error { return e.dropConfigFrom(ctx, s) }},
		attempt{"Secrets of old revisions", func(ctx context.Context) error { return e.dropRevisions(ctx, s) }})
	for _, server := range s.Servers {
		attempts = append(attempts, attempt{"size of volume claim " + server.Name, func(ctx context.Context) error {
			return e.grow(ctx, c, s.Claims[server.Name])
		}})
	}
	return attempts
}

// owners makes all volumes go or stay with the cluster, also those that were set aside.
func (e *Executor) owners(s *observe.Snapshot) []attempt {
	claims := slices.Clone(s.Kept)
	for _, server := range s.Servers {
		claims = append(claims, s.Claims[server.Name])
	}
	var attempts []attempt
	for _, claim := range claims {
		if resources.OwnClaim(s.Cluster, claim.DeepCopy()) {
			attempts = append(attempts, attempt{"owner of volume claim " + claim.Name, func(ctx context.Context) error {
				return e.patch(ctx, claim, func(o client.Object) {
					resources.OwnClaim(s.Cluster, o.(*corev1.PersistentVolumeClaim))
				})
			}})
		}
	}
	return attempts
}

// ensureRevision writes the wanted revision down. A spec that cannot be honored has none, unless servers have it already: much of
// a spec is no part of the revision. What was copied for it comes first, so that there is no revision whose configuration is gone
// with a user's Secret.
func (e *Executor) ensureRevision(ctx context.Context, s *observe.Snapshot) error {
	if err := e.ensureConfigFrom(ctx, s); err != nil {
		return err
	}
	isTheirs := slices.ContainsFunc(s.Servers, func(server plan.Server) bool { return server.Revision == s.Spec.Revision })
	if s.Spec.Invalid != nil && !isTheirs {
		return nil
	}
	secret, err := resources.RevisionSecret(s.Cluster)
	if err != nil {
		return err
	}
	return e.ensure(ctx, s.Cluster, secret, &corev1.Secret{}, nil)
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

// errCannotGrow is what the API server says of a volume whose StorageClass does not allow it to grow.
var errCannotGrow = errors.New("the volume cannot grow")

// grow lets a volume grow. Whether it can is up to its StorageClass. What the spec asks for is written down where the volume has
// it: that of an older operator, or one that a user has grown first.
func (e *Executor) grow(ctx context.Context, c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) error {
	wanted, has := c.Spec.Storage.Size, claim.Spec.Resources.Requests.Storage()
	isRecorded := claim.Annotations[v1alpha1.AnnotationStorageSize] == wanted.String()
	switch compared := has.Cmp(wanted); {
	case claim.Status.Phase != corev1.ClaimBound, compared > 0, compared == 0 && isRecorded:
		return nil
	}
	return e.resize(ctx, claim, wanted, annotate(v1alpha1.AnnotationStorageSize, wanted.String()))
}

// growVolume lets a volume grow that fills up. What the spec asks for stays written down: nobody has asked for a smaller one.
func (e *Executor) growVolume(ctx context.Context, s *observe.Snapshot, a plan.GrowVolume) (Outcome, error) {
	size := resource.NewQuantity(a.Bytes, resource.BinarySI)
	err := e.resize(ctx, s.Claims[a.Server], *size, func(client.Object) {})
	return Outcome{Event: fmt.Sprintf("the volume of %s fills up: it grows to %s", a.Server, size)}, err
}

func (e *Executor) resize(
	ctx context.Context, claim *corev1.PersistentVolumeClaim, size resource.Quantity, note func(client.Object),
) error {
	err := e.patch(ctx, claim, func(o client.Object) {
		o.(*corev1.PersistentVolumeClaim).Spec.Resources.Requests[corev1.ResourceStorage] = size
		note(o)
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
		revision := secrets.Items[i].Labels[v1alpha1.LabelRevision]
		if revision != "" && !used[revision] && resources.Belongs(s.Cluster, &secrets.Items[i]) {
			if err := e.delete(ctx, &secrets.Items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
