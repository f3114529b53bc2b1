package observe

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/internal/resources"
)

// PodMonitor is what is known of the PodMonitor of a cluster.
type PodMonitor struct {
	// Possible reports whether the API server has the kind.
	Possible bool
	// Live is the one that there is; nil for none.
	Live *unstructured.Unstructured
	// Unread is why nothing is known.
	Unread error
}

// podMonitor reads the PodMonitor of a cluster, if there is or is to be one. The cache has none: few API servers have the kind.
func (o *Observer) podMonitor(ctx context.Context, s *Snapshot) {
	if !s.Spec.Monitored && s.Cluster.Status.PodMonitor == "" {
		return
	}
	live := resources.NoPodMonitor(s.Cluster)
	switch err := o.Live.Get(ctx, client.ObjectKeyFromObject(live), live); {
	case meta.IsNoMatchError(err):
	case apierrors.IsNotFound(err):
		s.PodMonitor.Possible = true
	case err != nil:
		s.PodMonitor.Unread = fmt.Errorf("reading the PodMonitor: %w", err)
	default:
		s.PodMonitor = PodMonitor{Possible: true, Live: live}
	}
}
