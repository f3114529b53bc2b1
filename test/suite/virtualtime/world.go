package virtualtime

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
)

// startsAgain is what the kubelet does by the pod's restartPolicy.
const (
	starts      = "starts"
	startsAgain = "container is started again"
)

// backOff is how long the kubelet waits until it starts a container again: not at all, 10 s, 20 s, 40 s and so on.
func (x identity) backOff() time.Duration {
	if x.restarts == 0 {
		return takes[startsAgain]
	}
	return min(10*time.Second<<(x.restarts-1), 5*time.Minute)
}

// evicted is what the control plane does to the pods of a node that it has not heard of for a while.
const evicted = "is deleted with its dead node"

// takes is how long things take, as measured on real Consul and Kubernetes (docs/architecture.md).
var takes = map[string]time.Duration{
	starts:                          time.Second,
	"is told to stop":               100 * time.Millisecond,
	"is seen to leave":              500 * time.Millisecond,
	"has left":                      3500 * time.Millisecond,
	"pod is gone":                   300 * time.Millisecond,
	"claim is gone":                 200 * time.Millisecond,
	"agent answers again":           30 * time.Second,
	"node is back":                  time.Minute,
	"does not answer and is killed": time.Minute,
	evicted:                         5 * time.Minute,
	"should be gone by now":         55 * time.Second, // before the operator calls it so
	"is unhealthy for long":         5 * time.Minute,
	"founds the cluster":            2 * time.Second,
	"steps down":                    500 * time.Millisecond,
	"is elected":                    2 * time.Second,
	"joins Serf":                    time.Second,
	"is seen to be dead":            6 * time.Second,
	"is added to Raft":              500 * time.Millisecond,
	"catches up":                    500 * time.Millisecond,
	"autopilot looks":               2 * time.Second,
	"is promoted":                   14 * time.Second,
	"endpoints follow":              100 * time.Millisecond,
	"clients have noticed":          500 * time.Millisecond,
	startsAgain:                     time.Second,
	"is cleaned up by autopilot":    10 * time.Second,
	"the leader becomes stable":     10 * time.Second,
	"left, so the leader removes it from Raft": time.Second,
}

// identity is what the model does not know of the server in a slot.
type identity struct {
	name, id string
	// ip and version are those of its pod, while there is one, and how often its container was started again.
	ip, version string
	restarts    int
	// settings are those that its process has read last, by their hash.
	settings string
}

// happening is what will happen unless something else makes it impossible before.
type happening struct {
	sim.Happening
	at time.Time
}

// cluster is one ConsulCluster and its servers. One that was deleted lives on for as long as its servers do.
type cluster struct {
	uid     types.UID
	name    string
	state   sim.State
	servers [sim.MaxServers]identity
	term    uint64
	// recovery is the id of the recovery that is under way; empty for none.
	recovery string
	pending  []happening
	// shown is what was written to the API server last, by object.
	shown map[objectKey]string
}

// world is everything but the operator.
type world struct {
	mu       sync.Mutex
	api      *apiServer
	clusters []*cluster
	// revisions by number; the model's revisions count from 1.
	revisions []string
	ips       int
	trace     *trace
	// changed is closed when Consul changes.
	changed chan struct{}
	// broken are violations that are not an effect's.
	broken []string
}

func newWorld(t *trace) *world {
	return &world{api: newAPIServer(nil), trace: t, changed: make(chan struct{})}
}

// clusterOf is the cluster with a UID; nil if there is none.
func (w *world) clusterOf(uid types.UID) *cluster {
	i := slices.IndexFunc(w.clusters, func(c *cluster) bool { return c.uid == uid })
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

// slot of a server; -1 if it is not known, or no more.
func (c *cluster) slot(is func(identity) bool) int {
	return slices.IndexFunc(c.servers[:c.state.N], is)
}

func (c *cluster) named(name string) int {
	return c.slot(func(x identity) bool { return x.name == name })
}

// serverAt is the server that has an address now.
func (w *world) serverAt(ip string) (*cluster, int) {
	for _, c := range w.clusters {
		if i := c.slot(func(x identity) bool { return x.ip == ip }); i >= 0 {
			return c, i
		}
	}
	return nil, -1
}

// revision is the model's number of a revision.
func (w *world) revision(name string) sim.Revision {
	i := slices.Index(w.revisions, name)
	if i < 0 {
		w.revisions = append(w.revisions, name)
		i = len(w.revisions) - 1
	}
	return sim.Revision(i + 1) //nolint:gosec // a handful of revisions
}

// change does something to a cluster's state, and what follows from it at once.
func (w *world) change(c *cluster, at time.Time, do func(*sim.State)) {
	before := c.state.Leader
	do(&c.state)
	if c.state.Leader != before && c.state.Leader != sim.Nobody {
		c.term++
		w.api.tally.Leaders++
		w.trace.add("  %s leads in term %d", c.servers[c.state.Leader].name, c.term)
	}
	w.reschedule(c, at)
	w.show(c)
	close(w.changed)
	w.changed = make(chan struct{})
}

// reschedule sets the time for what has become possible, and forgets what is possible no more.
func (w *world) reschedule(c *cluster, at time.Time) {
	var pending []happening
	for _, next := range sim.Progress(&c.state) {
		if next.Unreliable() && !c.state.Returns {
			continue
		}
		after, known := takes[next.Name()]
		if !known {
			panic("nobody knows how long it takes that a server " + next.Name())
		}
		if next.Name() == startsAgain {
			after = c.servers[next.Slot()].backOff()
		}
		due := at.Add(after)
		if i := slices.IndexFunc(c.pending, func(h happening) bool { return h.Happening == next }); i >= 0 {
			due = c.pending[i].at
		}
		pending = append(pending, happening{next, due})
	}
	c.pending = pending
}

// advance lets happen what is due by now.
func (w *world) advance(now time.Time) {
	for _, c := range w.clusters {
		for {
			i := c.first()
			if i < 0 || c.pending[i].at.After(now) {
				break
			}
			next := c.pending[i]
			c.pending = slices.Delete(c.pending, i, i+1)
			w.happen(c, next)
		}
	}
}

func (w *world) happen(c *cluster, next happening) {
	who := "Consul: "
	if !next.Whole() {
		who = c.servers[next.Slot()].name + " "
	}
	if next.Name() == startsAgain {
		c.servers[next.Slot()].restarts++
	}
	w.trace.add("  %s%s", who, next.Name())
	if next.Name() == evicted {
		pod := w.api.live[objectKey{"Pod", c.servers[next.Slot()].name}]
		must(w.api.delete(context.Background(), pod.DeepCopyObject().(client.Object)))
		w.wrote(pod, w.api.live[keyOf(pod)])
		return
	}
	if former := w.former(c); next.Name() == starts && former != "" {
		w.broken = append(w.broken, fmt.Sprintf("%s: %s starts and finds %s of the former cluster",
			invariant.I8, c.servers[next.Slot()].name, former))
	}
	w.change(c, next.at, func(s *sim.State) {
		if violation := next.Happen(s); violation != nil {
			w.broken = append(w.broken, violation.String())
		}
	})
	if next.Name() == starts || next.Name() == startsAgain {
		w.readSettings(c, next.Slot())
	}
}

// readSettings is what a process does when it starts, and when it is told to.
func (w *world) readSettings(c *cluster, i int) {
	if pod, is := w.api.live[objectKey{"Pod", c.servers[i].name}].(*corev1.Pod); is && w.owner(pod) == c {
		c.servers[i].settings, _ = resources.SettingsOf(pod)
	}
}

// former is a server that runs and that a cluster's servers find by their cluster's name, although it is another one's.
func (w *world) former(c *cluster) string {
	for _, other := range w.clusters {
		for i, x := range other.servers[:other.state.N] {
			if other != c && other.name == c.name && x.ip != "" && other.state.Servers[i].Process == sim.Up {
				return x.name
			}
		}
	}
	return ""
}

// first is the happening that is due first; -1 if there is none.
func (c *cluster) first() int {
	first := -1
	for i, h := range c.pending {
		if first < 0 || h.at.Before(c.pending[first].at) {
			first = i
		}
	}
	return first
}

// dueNext is when something happens next.
func (w *world) dueNext() time.Time {
	earliest := never
	for _, c := range w.clusters {
		if i := c.first(); i >= 0 && c.pending[i].at.Before(earliest) {
			earliest = c.pending[i].at
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
			w.change(c, now, func(*sim.State) { w.wroteClaim(c, o) })
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
		c = &cluster{uid: o.UID, name: o.Name, state: sim.NewState(0, 0), shown: map[objectKey]string{}}
		w.clusters = append(w.clusters, c)
	}
	s := &c.state
	s.Replicas, s.Surge = uint8(o.Spec.Replicas), uint8(o.Spec.Update.MaxSurge) //nolint:gosec // at most 7
	s.InPlace = o.Spec.Update.Type == v1alpha1.UpdateInPlace
	s.Wanted, s.Paused = w.revision(resources.Revision(o)), o.Spec.Paused
	s.Replace = o.Spec.FailureReplacement.After == nil || o.Spec.FailureReplacement.After.Duration > 0
	s.Bootstrapped = o.Annotations[v1alpha1.AnnotationBootstrapped] != ""
	s.Automatic = o.Spec.Recovery.Mode == v1alpha1.RecoveryAutomatic
	c.adoptRecovery(recoveryOf(o))
	s.Transfer = sim.NoTransfer
	if to, asked := o.Annotations[v1alpha1.AnnotationTransferLeadership]; asked {
		s.Transfer = sim.AnyServer
		if i := c.named(to); i >= 0 {
			s.Transfer = int8(i) //nolint:gosec // at most MaxServers
		}
	}
	return c
}

func (w *world) wroteClaim(c *cluster, o *corev1.PersistentVolumeClaim) {
	i := c.named(o.Name)
	if i < 0 || c.state.Servers[i].Claim == sim.ClaimNone {
		i = c.state.Free()
		c.servers[i] = identity{name: o.Name, id: resources.NodeID(c.uid, o.Name)}
		c.state.Servers[i].Claim = sim.ClaimBound
	}
	x := &c.state.Servers[i]
	x.Revision = w.revision(o.Annotations[v1alpha1.AnnotationRevision])
	_, x.Retiring = o.Annotations[v1alpha1.AnnotationRetiring]
	_, x.InPlace = o.Annotations[v1alpha1.AnnotationInPlace]
	_, x.Failed = o.Annotations[v1alpha1.AnnotationFailed]
	if expect, err := strconv.Atoi(o.Annotations[v1alpha1.AnnotationBootstrapExpect]); err == nil {
		x.Founder, c.state.Expect = true, uint8(expect) //nolint:gosec // at most 7
	}
	switch {
	case o.Labels[v1alpha1.LabelRetired] != "":
		c.state.SetAside(i)
	case o.DeletionTimestamp != nil:
		x.Claim = sim.ClaimDeleting
	}
}

func (w *world) wrotePod(c *cluster, old, o *corev1.Pod) {
	i := c.named(o.Name)
	if i < 0 {
		return // its claim is gone: it never starts
	}
	x := &c.state.Servers[i]
	if old == nil {
		w.ips++
		c.servers[i].ip = fmt.Sprintf("10.0.%d.%d", w.ips/200, w.ips%200+1)
		c.servers[i].version, c.servers[i].restarts = versionOf(o), 0
		x.Pod, x.PodRevision = sim.PodPending, w.revision(o.Labels[v1alpha1.LabelRevision])
		x.PodFounder, x.Serving, x.Settled, x.PodRescue = founder(o), false, true, c.rescueOf(o)
		return
	}
	if o.DeletionTimestamp != nil && x.Pod != sim.PodTerminating {
		c.state.DeletePod(i)
	}
	if serving := gateOf(o); serving != gateOf(old) {
		c.state.SetGate(i, serving)
	}
}

func versionOf(o *corev1.Pod) string {
	_, version, _ := strings.Cut(o.Spec.Containers[0].Image, ":")
	return version
}

func founder(o *corev1.Pod) bool {
	return slices.ContainsFunc(o.Spec.Containers[0].Args, func(arg string) bool {
		return strings.HasPrefix(arg, "-bootstrap-expect=")
	})
}

func gateOf(o *corev1.Pod) bool {
	return slices.ContainsFunc(o.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == v1alpha1.GateServing && c.Status == corev1.ConditionTrue
	})
}
