package observe

import (
	"context"
	"fmt"
	"time"

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

// withoutKind is how long the operator believes that the API server has no PodMonitors: to find out, it asks for all kinds.
const withoutKind = 5 * time.Minute

// podMonitor reads the PodMonitor of a cluster, if there is or is to be one. The cache has none: few API servers have the kind.
func (o *Observer) podMonitor(ctx context.Context, s *Snapshot) {
	if !s.Spec.Monitored && s.Cluster.Status.PodMonitor == "" || o.Now().UnixNano() < o.noMonitorsUntil.Load() {
		return
	}
	live := resources.NoPodMonitor(s.Cluster)
	switch err := o.Live.Get(ctx, client.ObjectKeyFromObject(live), live); {
	case meta.IsNoMatchError(err):
		o.noMonitorsUntil.Store(o.Now().Add(withoutKind).UnixNano())
	case apierrors.IsNotFound(err):
		s.PodMonitor.Possible = true
	case err != nil:
		s.PodMonitor.Unread = fmt.Errorf("reading the PodMonitor: %w", err)
	default:
		s.PodMonitor = PodMonitor{Possible: true, Live: live}
	}
}
