package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

// firstNode has the control plane, and this program.
const firstNode = "node1"

// onNodes adds what only real nodes have.
func (f *faults) onNodes() {
	f.kinds = append(f.kinds,
		kind{name: "node cut off from the network", often: 3, possible: f.mayStop, inject: f.cutNode},
		kind{name: "node with a slow network", often: 2, inject: f.slowNode})
}

// cutNode takes a server's node off the network, with its kubelet: the server goes on, and nobody hears of it.
func (f *faults) cutNode(ctx context.Context) (string, error) {
	server, node, err := f.takeNode(ctx, f.cut)
	if err != nil {
		return "", err
	}
	f.Observer.Disturb()
	duration := f.seconds(2, 30)
	f.later(duration, func() error {
		f.Observer.Disturb() // it is back with what it knew then
		defer f.releaseNode(node, f.cut)
		return harness.Link(node, "up")
	})
	return fmt.Sprintf("%s with %s, for %s", node, server, report.Seconds(duration)), harness.Link(node, "down")
}

// slowNode delays what a server's node sends. That is no disturbance: all invariants hold as if it were not so.
func (f *faults) slowNode(ctx context.Context) (string, error) {
	server, node, err := f.takeNode(ctx, f.slow)
	if err != nil {
		return "", err
	}
	delay := time.Duration(10+f.random.IntN(190)) * time.Millisecond
	duration := f.seconds(5, 60)
	f.later(duration, func() error {
		defer f.releaseNode(node, f.slow)
		return harness.Delay(node, "none")
	})
	return fmt.Sprintf("%s with %s, %s for %s", node, server, delay, report.Seconds(duration)), harness.Delay(node, delay.String())
}

// takeNode draws a server, says what it is, and puts its node among those that are hit in a way, unless it is hit already.
func (f *faults) takeNode(ctx context.Context, hit map[string]bool) (server, node string, err error) {
	victim, err := f.victim(f.goesOn)
	if err != nil {
		return "", "", err
	}
	pod := &corev1.Pod{}
	if err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.Key.Namespace, Name: victim.Name}, pod); err != nil {
		return "", "", err
	}
	node = pod.Spec.NodeName
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut[node] || f.slow[node] || node == firstNode || node == "" {
		return "", "", fmt.Errorf("%w: %s is on node %q", errNoVictim, victim.Name, node)
	}
	hit[node] = true
	return title(victim), node, nil
}

func (f *faults) releaseNode(node string, hit map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(hit, node)
}
