package execute

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// deregister takes a node out of the catalog.
func (e *Executor) deregister(ctx context.Context, s *observe.Snapshot, a plan.Deregister) (Outcome, error) {
	event := fmt.Sprintf("took the node %s with the id %s out of the catalog: it has the name of a server", a.Node, a.ID)
	return Outcome{Event: event}, ignoreGone(e.leader(s).Deregister(ctx, a.Node))
}

// ensureSnapshotAccount keeps the ServiceAccount of the Jobs that save and restore snapshots.
func (e *Executor) ensureSnapshotAccount(ctx context.Context, c *v1alpha1.ConsulCluster) error {
	if c.Spec.Snapshots.Destination == nil {
		return nil
	}
	account, live := resources.SnapshotAccount(c), &corev1.ServiceAccount{}
	wanted := account.Annotations
	account.Annotations = ownAnnotations(nil, wanted)
	return notNeeded(e.ensure(ctx, c, account, live, func() {
		live.AutomountServiceAccountToken = account.AutomountServiceAccountToken
		live.Annotations = ownAnnotations(live.Annotations, wanted)
	}), "remove spec.snapshots.destination")
}

// takeSnapshot asks for a snapshot. It stays when the cluster is deleted.
func (e *Executor) takeSnapshot(ctx context.Context, s *observe.Snapshot, a plan.TakeSnapshot) (Outcome, error) {
	asked := &v1alpha1.ConsulSnapshot{
		ObjectMeta: metav1.ObjectMeta{Name: a.Name, Namespace: s.Cluster.Namespace},
		Spec:       v1alpha1.ConsulSnapshotSpec{ClusterName: s.Cluster.Name},
	}
	err := e.Client.Create(ctx, asked)
	if apierrors.IsAlreadyExists(err) { // the cache does not have it yet
		err = ErrStale
	}
	return Outcome{Event: "takes ConsulSnapshot " + a.Name + " before the upgrade"}, err
}

// askRestore asks for the restore with which a new cluster begins. It goes with the cluster.
func (e *Executor) askRestore(ctx context.Context, s *observe.Snapshot, a plan.AskRestore) (Outcome, error) {
	asked := resources.FoundingRestore(s.Cluster)
	live := &v1alpha1.ConsulRestore{}
	created, err := e.create(ctx, asked, live)
	if !created && err == nil {
		err = checkOwner(s.Cluster, live)
	}
	return Outcome{Event: "begins with a snapshot, ConsulRestore " + a.Name}, err
}

func (e *Executor) beginRestore(ctx context.Context, s *observe.Snapshot, a plan.BeginRestore) (Outcome, error) {
	record := resources.RestoreRecord{Name: a.Name, UID: types.UID(a.UID)}
	return e.record(ctx, s, "restores a snapshot, ConsulRestore "+a.Name+": no server is added or replaced until it has ended",
		annotate(v1alpha1.AnnotationRestoring, record.String()))
}

// endRestore lets the cluster go on. Consul has the ACL tokens of the snapshot now: former ones may have their rights back, and
// nobody knows what those may do who have no token.
func (e *Executor) endRestore(ctx context.Context, s *observe.Snapshot) (Outcome, error) {
	if s.TokensSecret != nil {
		if err := e.patch(ctx, s.TokensSecret, func(o client.Object) {
			unannotate(v1alpha1.AnnotationTokensRevoked)(o)
			resources.SetDNSGranted(o.(*corev1.Secret), !s.Cluster.Spec.ACLs.DNS) // so that it is granted, or taken, once more
		}); err != nil {
			return Outcome{}, err
		}
	}
	return e.record(ctx, s, "the restore is over", unannotate(v1alpha1.AnnotationRestoring))
}
