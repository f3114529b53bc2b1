package volumes

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	// every is how often each kubelet is asked: it looks at volumes itself once a minute.
	every = time.Minute
	// atOnce is how many are asked at a time.
	atOnce = 16
	// step is by how many percent the usage of a volume has to change before a cluster is looked at again.
	step = 5
)

// Known is what is known of a volume.
type Known struct {
	Usage
	// Unread says why its usage is not known; empty if it is.
	Unread string
}

// Percent is how full a volume is, rounded down to a multiple of five.
func (u Usage) Percent() int32 {
	if u.Capacity <= 0 {
		return 0
	}
	return int32(min(100, max(0, 100*float64(u.Used)/float64(u.Capacity)))) / step * step
}

// Watcher knows how full the volumes of all servers are. It is a manager.Runnable, and a prometheus.Collector.
type Watcher struct {
	// Reader has the pods of servers, and nodes.
	Reader client.Reader
	// Kubelets is from KubeletClient.
	Kubelets *http.Client
	// Changed is called with the cluster of a volume of which something else is known than before.
	Changed func(cluster client.ObjectKey)

	mu    sync.RWMutex
	known map[client.ObjectKey]Known
}

// Of returns what is known of the volume of a claim; false if nothing is.
func (w *Watcher) Of(claim client.ObjectKey) (Known, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	known, is := w.known[claim]
	return known, is
}

// Start asks the kubelets until the context ends.
func (w *Watcher) Start(ctx context.Context) error {
	wait.JitterUntilWithContext(ctx, func(ctx context.Context) {
		if err := w.readAll(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).WithName("volumes").Error(err, "reading how full volumes are")
		}
	}, every, 0.1, true)
	return nil
}

// readAll asks all kubelets of nodes that run servers.
func (w *Watcher) readAll(ctx context.Context) error {
	var pods corev1.PodList
	if err := w.Reader.List(ctx, &pods, client.HasLabels{v1alpha1.LabelServer}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	servers := map[string][]*corev1.Pod{} // by node
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Status.Phase == corev1.PodRunning {
			servers[pod.Spec.NodeName] = append(servers[pod.Spec.NodeName], pod)
		}
	}
	var mu sync.Mutex
	known := map[client.ObjectKey]Known{}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for node, pods := range servers {
		group.Go(func() error {
			usages, err := w.readNode(ctx, node)
			mu.Lock()
			defer mu.Unlock()
			for _, pod := range pods {
				key := client.ObjectKeyFromObject(pod) // a server, its pod and its claim have one name
				known[key] = knownOf(usages, err, key, node)
			}
			return nil
		})
	}
	_ = group.Wait() // no error: each is told of its volumes
	if ctx.Err() == nil {
		w.learn(pods.Items, known)
	}
	return nil
}

func knownOf(usages map[client.ObjectKey]Usage, err error, claim client.ObjectKey, node string) Known {
	if err != nil {
		return Known{Unread: fmt.Sprintf("the kubelet of node %s does not tell: %s", node, why(err))}
	}
	usage, is := usages[claim]
	if !is {
		return Known{Unread: fmt.Sprintf("the kubelet of node %s knows nothing of it, as of volumes of some types", node)}
	}
	return Known{Usage: usage}
}

// why says why a kubelet could not be read, in the same words each time: the status is written when they change.
func why(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		broken  *net.OpError
		timeout net.Error
	)
	switch {
	case errors.As(err, &unknown):
		return "its certificate is of an authority that the operator does not know (--kubelet-certificate-authority)"
	case errors.As(err, &invalid):
		return "its certificate is not valid, or not any more"
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer within %s", answerWithin)
	case errors.As(err, &broken):
		return broken.Op + ": " + broken.Err.Error()
	}
	return err.Error()
}

func (w *Watcher) readNode(ctx context.Context, name string) (map[client.ObjectKey]Usage, error) {
	node := &corev1.Node{}
	if err := w.Reader.Get(ctx, client.ObjectKey{Name: name}, node); apierrors.IsNotFound(err) {
		return nil, errors.New("the node is gone")
	} else if err != nil {
		return nil, err
	}
	return read(ctx, w.Kubelets, node)
}

// learn takes over what was read, and tells of the clusters for which it makes a difference.
func (w *Watcher) learn(pods []corev1.Pod, known map[client.ObjectKey]Known) {
	w.mu.Lock()
	before := w.known
	w.known = known
	w.mu.Unlock()
	changed := map[client.ObjectKey]bool{}
	for i := range pods {
		key := client.ObjectKeyFromObject(&pods[i])
		was, is := before[key], known[key]
		if was.Unread != is.Unread || was.Percent() != is.Percent() || was.Capacity != is.Capacity {
			changed[client.ObjectKey{Namespace: key.Namespace, Name: pods[i].Labels[v1alpha1.LabelCluster]}] = true
		}
	}
	for cluster := range changed {
		w.Changed(cluster)
	}
}
