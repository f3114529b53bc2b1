package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/test/harness"
)

// firstNode has the control plane, and this program.
const firstNode = "node1"

// onNodes adds what only real nodes have.
func (f *faults) onNodes() {
	f.kinds = append(f.kinds, kind{name: "node cut off from the network", often: 3, possible: f.mayStop, inject: f.cutNode})
}

// cutNode takes a server's node off the network, with its kubelet: the server goes on, and nobody hears of it.
func (f *faults) cutNode(ctx context.Context) (string, error) {
	server, err := f.victim(f.goesOn)
	if err != nil {
		return "", err
	}
	pod := &corev1.Pod{}
	if err := f.env.Client.Get(ctx, client.ObjectKey{Namespace: f.key.Namespace, Name: server.Name}, pod); err != nil {
		return "", err
	}
	node := pod.Spec.NodeName
	f.mu.Lock()
	taken := f.cut[node] || node == firstNode || node == ""
	if !taken {
		f.cut[node] = true
	}
	f.mu.Unlock()
	if taken {
		return "", fmt.Errorf("%w: %s is on node %q", errNoVictim, server.Name, node)
	}
	f.observer.Disturb()
	duration := f.seconds(2, 30)
	f.later(duration, func() error {
		f.observer.Disturb() // it is back with what it knew then
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.cut, node)
		return harness.Link(node, "up")
	})
	return fmt.Sprintf("%s with %s, for %s", node, title(server), harness.Seconds(duration)), harness.Link(node, "down")
}
