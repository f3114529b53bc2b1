package virtualtime

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/sim"
	"github.com/consul-operator/consul-operator/test/lib/timed"
)

// cluster is one ConsulCluster and its servers. One that was deleted lives on for as long as its servers do.
type cluster struct {
	timed.Cluster
	// shown is what was written to the API server last, by object.
	shown map[objectKey]string
	// going is set while servers may have certificates of the authority before the one that issues.
	going bool
}

// world is everything but the operator.
type world struct {
	mu        sync.Mutex
	api       *apiServer
	clusters  []*cluster
	revisions timed.Revisions
	ips       int
	trace     *trace
	// changed is closed when Consul changes.
	changed chan struct{}
	// broken are violations that are not an effect's.
	broken []string
	proofs proofs
}

func newWorld(t *trace) *world {
	return &world{api: newAPIServer(nil), trace: t, changed: make(chan struct{})}
}

// clusterOf is the cluster with a UID; nil if there is none.
func (w *world) clusterOf(uid types.UID) *cluster {
	i := slices.IndexFunc(w.clusters, func(c *cluster) bool { return c.UID == uid })
	if i < 0 {
		return nil
	}
	return w.clusters[i]
}

// current is the cluster that users see.
func (w *world) current() *cluster { return w.clusters[len(w.clusters)-1] }

// owner is the cluster that an object of the operator's belongs to.
func (w *world) owner(o client.Object) *cluster {
	if controller := metav1.GetControllerOf(o); controller != nil {
		return w.clusterOf(controller.UID)
	}
	return w.clusterOf(types.UID(o.GetLabels()[v1alpha1.LabelClusterUID]))
}

// serverAt is the server that has an address now.
func (w *world) serverAt(ip string) (*cluster, int) {
	for _, c := range w.clusters {
		if i := c.Slot(func(x timed.Server) bool { return x.IP == ip }); i >= 0 {
			return c, i
		}
	}
	return nil, -1
}

// change does something to a cluster's state, and what follows from it at once.
func (w *world) change(c *cluster, at time.Time, do func(*sim.State)) {
	if c.Change(at, do) {
		w.api.tally.Leaders++
		w.trace.add("  %s leads in term %d", c.Servers[c.State.Leader].Name, c.Term)
	}
	w.show(c)
	close(w.changed)
	w.changed = make(chan struct{})
}

// advance lets happen what is due by now.
func (w *world) advance(now time.Time) {
	for _, c := range w.clusters {
		for next, due := c.Due(now); due; next, due = c.Due(now) {
			w.happen(c, next)
		}
	}
}

func (w *world) happen(c *cluster, next timed.Happening) {
	who := "Consul: "
	if !next.Whole() {
		who = c.Servers[next.Slot()].Name + " "
	}
	w.trace.add("  %s%s", who, next.Name())
	if next.Name() == timed.Evicted {
		pod := w.api.live[objectKey{"Pod", c.Servers[next.Slot()].Name}]
		must(w.api.delete(context.Background(), pod.DeepCopyObject().(client.Object)))
		w.wrote(pod, w.api.live[keyOf(pod)])
		return
	}
	if former := w.former(c); next.Name() == "starts" && former != "" {
		w.broken = append(w.broken, fmt.Sprintf("%s: %s starts and finds %s of the former cluster",
			invariant.I8, c.Servers[next.Slot()].Name, former))
	}
	w.change(c, next.At, func(*sim.State) {
		if violation := c.Happen(next); violation != nil {
			w.broken = append(w.broken, violation.String())
		}
		if next.Starts() {
			w.expectHeard(c)
		}
	})
}

// expectHeard takes note of servers that do not believe each other.
func (w *world) expectHeard(c *cluster) {
	if unheard := c.Unheard(time.Now()); unheard != "" {
		w.broken = append(w.broken, fmt.Sprintf("%s: %s", invariant.I10, unheard))
	}
}

// former is a server that runs, or is leaving, and that a cluster's servers find by their cluster's name, although it is another
// one's.
func (w *world) former(c *cluster) string {
	for _, other := range w.clusters {
		for i, x := range other.Servers[:other.State.N] {
			if other != c && other.Name == c.Name && x.IP != "" && other.State.Servers[i].Process != sim.Down {
				return x.Name
			}
		}
	}
	return ""
}

// dueNext is when something happens next.
func (w *world) dueNext() time.Time {
	earliest := never
	for _, c := range w.clusters {
		if next, pending := c.Next(); pending && next.At.Before(earliest) {
			earliest = next.At
		}
	}
	return earliest
}

// wrote takes over what a user or the operator has written, into the state. before is nil for a new object.
func (w *world) wrote(before, after client.Object) {
	now := time.Now()
	switch o := after.(type) {
	case *v1alpha1.ConsulCluster:
		w.change(w.adopt(o), now, func(*sim.State) {})
	case *corev1.PersistentVolumeClaim:
		if c := w.owner(o); c != nil {
			w.change(c, now, func(*sim.State) { c.WroteClaim(o, &w.revisions) })
		}
	case *corev1.Secret:
		if c := w.owner(o); c != nil && o.Name == resources.GossipSecretName(c.Name) {
			w.change(c, now, func(*sim.State) {
				if wrong := c.WroteGossipKeys(o); wrong != "" {
					w.broken = append(w.broken, wrong)
				}
			})
		}
		if c := w.owner(o); c != nil && o.Name == resources.AuthoritySecretName(c.Name) {
			c.going = len(parse(resources.Authorities(o))) > len(parse(resources.PairOf(o).Certificate))
		}
		if c := w.owner(o); c != nil && o.Name == resources.CertificateSecretName(c.Name) {
			w.change(c, now, func(*sim.State) { c.WroteCertificate(o, now) })
		}
		if c := w.owner(o); c != nil && o.Name == resources.TokensSecretName(c.Name) {
			w.change(c, now, func(*sim.State) { c.WroteTokens(o) })
		}
	case *corev1.Pod:
		if c := w.owner(o); c != nil {
			old, _ := before.(*corev1.Pod)
			w.change(c, now, func(*sim.State) { w.wrotePod(c, old, o) })
		}
	}
}

// adopt takes over what a ConsulCluster says.
func (w *world) adopt(o *v1alpha1.ConsulCluster) *cluster {
	c := w.clusterOf(o.UID)
	if c == nil {
		c = &cluster{Cluster: timed.New(o.UID, o.Name), shown: map[objectKey]string{}}
		w.clusters = append(w.clusters, c)
	}
	c.Adopt(o, &w.revisions)
	return c
}

func (w *world) wrotePod(c *cluster, old, o *corev1.Pod) {
	if old != nil {
		c.UpdatedPod(old, o)
		return
	}
	w.ips++
	c.CreatedPod(o, fmt.Sprintf("10.0.%d.%d", w.ips/200, w.ips%200+1), &w.revisions)
}
