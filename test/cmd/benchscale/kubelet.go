package main

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// retryWrites is the pause after a write that failed, as one does whose object has changed.
const retryWrites = 100 * time.Millisecond

// nodes is how many there are to run on. Nobody looks at them, so they are only names.
const nodes = 100

// written is a write that brings an object to what it is to be.
type written struct {
	key, is string
	do      func() error
}

// write does what scheduler, kubelet, provisioner and endpoints controller do for a cluster, until the world ends.
func (c *cluster) write() {
	for {
		select {
		case <-c.w.ctx.Done():
			return
		case <-c.wake:
		}
		for _, next := range c.unwritten() {
			if err := next.do(); err != nil && !apierrors.IsNotFound(err) {
				c.w.problem.Store(fmt.Sprintf("%s: %v", next.key, err))
				_ = await.Sleep(c.w.ctx, retryWrites) // if the world ends, so does the loop
				c.show()
				continue
			}
			c.mu.Lock()
			c.shown[next.key] = next.is
			c.mu.Unlock()
		}
	}
}

// unwritten is what differs from what was written last.
func (c *cluster) unwritten() (all []written) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.object == nil {
		return nil
	}
	for _, pod := range c.pods {
		all = append(all, c.podWrites(pod)...)
	}
	for _, claim := range c.claims {
		all = append(all, c.claimWrites(claim)...)
	}
	all = append(all,
		c.sliceWrite(resources.ClientService(c.object), c.Endpoints()),
		c.sliceWrite(resources.JoinService(c.object), c.addressesOfAll()))
	kept := all[:0]
	for _, next := range all {
		if c.shown[next.key] != next.is {
			kept = append(kept, next)
		}
	}
	return kept
}

func (c *cluster) podWrites(pod *corev1.Pod) []written {
	key, i := "pod "+string(pod.UID), c.Named(pod.Name)
	if i < 0 || c.State.Servers[i].Pod == sim.PodNone {
		if pod.DeletionTimestamp == nil {
			return nil
		}
		return []written{{key, "gone", func() error {
			return c.w.client.Delete(c.w.ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
		}}}
	}
	x := &c.State.Servers[i]
	if x.Pod == sim.PodPending {
		return nil
	}
	ready := c.State.Ready(i) && !c.hangs
	shown := pod.DeepCopy()
	c.ShowPod(&shown.Status, i, ready)
	bind := written{"node of " + key, "bound", func() error {
		if pod.Spec.NodeName != "" {
			return nil
		}
		node := fmt.Sprintf("node-%d", i*7%nodes)
		binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}}
		return c.w.client.SubResource("binding").Create(c.w.ctx, pod, binding)
	}}
	return []written{bind, {key, fmt.Sprint(x.Pod, x.Process != sim.Down, ready), func() error {
		return c.w.client.Status().Patch(c.w.ctx, shown, client.StrategicMergeFrom(pod))
	}}}
}

func (c *cluster) claimWrites(claim *corev1.PersistentVolumeClaim) []written {
	key, i := "claim "+string(claim.UID), c.Named(claim.Name)
	shown := claim.DeepCopy()
	switch {
	case claim.Labels[v1alpha1.LabelRetired] != "":
	case (i < 0 || c.State.Servers[i].Claim == sim.ClaimNone) && claim.DeletionTimestamp != nil:
		return []written{{key, "gone", func() error { // as the controller does that protects claims in use
			shown.Finalizers = nil
			return c.w.client.Patch(c.w.ctx, shown, client.MergeFrom(claim))
		}}}
	case i >= 0 && c.State.Servers[i].Pod == sim.PodRunning:
		return []written{{key, "bound", func() error {
			shown.Status.Phase = corev1.ClaimBound
			return c.w.client.Status().Patch(c.w.ctx, shown, client.MergeFrom(claim))
		}}}
	}
	return nil
}

// addressesOfAll are those that the headless Service publishes, ready or not.
func (c *cluster) addressesOfAll() (endpoints []discoveryv1.Endpoint) {
	for i, server := range c.Servers[:c.State.N] {
		if c.State.Servers[i].Process != sim.Down && server.IP != "" {
			endpoints = append(endpoints, discoveryv1.Endpoint{
				Addresses: []string{server.IP}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			})
		}
	}
	return endpoints
}

// sliceWrite writes the one EndpointSlice of a Service, which has its labels. The API server refuses loopback addresses as IPv4.
func (c *cluster) sliceWrite(service *corev1.Service, endpoints []discoveryv1.Endpoint) written {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace, Name: service.Name + "-endpoints", Labels: service.Labels,
		},
		AddressType: discoveryv1.AddressTypeFQDN, Endpoints: []discoveryv1.Endpoint{},
	}
	slice.Labels[discoveryv1.LabelServiceName] = service.Name
	before := slice.DeepCopy()
	before.Endpoints = nil
	slice.Endpoints = append(slice.Endpoints, endpoints...)
	key := "slice " + slice.Name
	first := c.shown[key] == ""
	return written{key, fmt.Sprint(endpoints), func() error {
		if first {
			return client.IgnoreAlreadyExists(c.w.client.Create(c.w.ctx, slice))
		}
		return c.w.client.Patch(c.w.ctx, slice, client.MergeFrom(before))
	}}
}
