package virtualtime

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// show writes to the API server what kubelet, provisioner and endpoints controller would.
func (w *world) show(c *cluster) {
	for i := range c.Servers[:c.State.N] {
		if c.Servers[i].Name == "" {
			continue
		}
		w.showPod(c, i)
		w.showClaim(c, i)
	}
	w.showEndpoints(c)
}

// showPod brings a pod's status to what the state says, or removes the pod.
func (w *world) showPod(c *cluster, i int) {
	x, key := &c.State.Servers[i], objectKey{"Pod", c.Servers[i].Name}
	live, _ := w.api.live[key].(*corev1.Pod)
	if live == nil || w.owner(live) != c {
		return
	}
	if x.Pod == sim.PodNone {
		w.api.finish(key)
		delete(c.shown, key)
		c.Servers[i].IP = ""
		return
	}
	is := fmt.Sprint(x.Pod, x.Process != sim.Down, c.State.Ready(i), live.UID)
	if c.shown[key] == is {
		return
	}
	c.shown[key] = is
	pod := live.DeepCopy()
	c.ShowPod(&pod.Status, i, c.State.Ready(i))
	if x.Pod == sim.PodPending && c.State.Bad != 0 && x.PodRevision.Spec() == c.State.Bad {
		pod.Status.ContainerStatuses[0].State.Waiting.Reason = "ErrImagePull"
	}
	must(w.api.updateStatus(context.Background(), pod))
}

// showClaim binds a claim when its pod has started, and removes it when it has gone.
func (w *world) showClaim(c *cluster, i int) {
	x, key := &c.State.Servers[i], objectKey{"PersistentVolumeClaim", c.Servers[i].Name}
	live, _ := w.api.live[key].(*corev1.PersistentVolumeClaim)
	if live == nil || w.owner(live) != c || live.Labels[v1alpha1.LabelRetired] != "" {
		return
	}
	if x.Claim == sim.ClaimNone {
		w.api.finish(key)
		return
	}
	if x.Pod == sim.PodRunning && live.Status.Phase != corev1.ClaimBound {
		claim := live.DeepCopy()
		claim.Status.Phase = corev1.ClaimBound
		must(w.api.updateStatus(context.Background(), claim))
	}
}

// showEndpoints writes the one EndpointSlice of the client Service, which sees all clusters of the name.
func (w *world) showEndpoints(c *cluster) {
	var endpoints []discoveryv1.Endpoint
	for _, other := range w.clusters {
		if other.Name == c.Name {
			endpoints = append(endpoints, other.Endpoints()...)
		}
	}
	key, is := objectKey{"EndpointSlice", c.Name + "-endpoints"}, fmt.Sprint(endpoints)
	live, _ := w.api.live[key].(*discoveryv1.EndpointSlice)
	if live == nil {
		must(w.api.create(context.Background(), &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: key.name,
				Labels: map[string]string{discoveryv1.LabelServiceName: resources.ClientServiceName(c.Name)},
			},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		}))
	} else if c.shown[key] != is {
		slice := live.DeepCopy()
		slice.Endpoints = endpoints
		must(w.api.update(context.Background(), slice))
	}
	c.shown[key] = is
}

// collect is the garbage collector: what it deletes is told to the state like any other deletion.
func (w *world) collect() {
	for _, o := range w.api.garbage() {
		must(w.api.delete(context.Background(), o.DeepCopyObject().(client.Object)))
		w.trace.add("  garbage: %s", keyOf(o))
		if live := w.api.live[keyOf(o)]; live != nil {
			w.wrote(o, live)
		}
	}
}

// killNode is the end of a server's node: nobody confirms any more that its pod has stopped.
func (w *world) killNode(name string) {
	c := w.current()
	w.change(c, time.Now(), func(s *sim.State) {
		s.Returns = false
		s.KillNode(c.Named(name))
	})
}

// lose takes a server away with its volume, as a dead node does for which a person has deleted pod and claim.
func (w *world) lose(name string) {
	c := w.current()
	w.trace.add("USER  %s is lost with its volume", name)
	w.change(c, time.Now(), func(s *sim.State) { s.Lose(c.Named(name)) })
}
