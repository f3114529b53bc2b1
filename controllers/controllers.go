// Package controllers holds the reconcilers, one for each kind of the API. They are thin: observe, plan, execute, report.
package controllers

import (
	"context"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// Options of the controllers.
type Options struct {
	// Concurrent is the maximum number of concurrent reconciles of each kind.
	Concurrent int
	// Nodes is set if the operator may read nodes, and so sees which of them are draining.
	Nodes bool
	// SecretDelay is how long kubelets may take to show pods a changed Secret.
	SecretDelay time.Duration
	// Self is which pods are the operator's own.
	Self resources.Self
	// Dial makes the clients of Consul agents.
	Dial consul.Dialer
}

// kinds are the controllers: one for each kind of the API.
var kinds = []func(manager.Manager, Options) error{
	setupConsulCluster,
}

// Setup adds the controllers of all kinds to a manager.
func Setup(mgr manager.Manager, o Options) error {
	for _, setup := range kinds {
		if err := setup(mgr, o); err != nil {
			return err
		}
	}
	return nil
}

// Cache keeps only the operator's own objects of the namespaces in memory, whatever else these hold, and of the large ones only
// what is read. Nil stands for all namespaces. EndpointSlices carry the labels of their Service.
func Cache(namespaces map[string]cache.Config) cache.Options {
	ours, err := labels.Parse(v1alpha1.LabelCluster)
	if err != nil {
		panic(err) // a constant
	}
	only := cache.ByObject{Label: ours}
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Node{}:                  {Transform: stripNode},
			&corev1.Pod{}:                   {Label: ours, Transform: stripPod},
			&corev1.PersistentVolumeClaim{}: only,
			&corev1.Secret{}:                {Label: ours, Transform: stripSecret},
			&corev1.Service{}:               only,
			&corev1.ServiceAccount{}:        only,
			&networkingv1.NetworkPolicy{}:   only,
			&policyv1.PodDisruptionBudget{}: only,
			&discoveryv1.EndpointSlice{}:    only,
		},
		DefaultTransform:  cache.TransformStripManagedFields(), // half of an object, and nobody reads them
		DefaultNamespaces: namespaces,
	}
}

// stripNode keeps the fields of a node that tell whether it takes pods.
func stripNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion},
		Spec:       corev1.NodeSpec{Unschedulable: node.Spec.Unschedulable, Taints: node.Spec.Taints},
	}, nil
}

// stripPod leaves out what a pod is to run, but for the volumes that tell something: what counts is how it is, where, and
// whether what has ended is started again.
func stripPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	kept := &corev1.Pod{
		ObjectMeta: pod.ObjectMeta, Status: pod.Status,
		// No part of the list of all volumes, which would stay in memory.
		Spec: corev1.PodSpec{
			NodeName: pod.Spec.NodeName, RestartPolicy: pod.Spec.RestartPolicy, Volumes: resources.VolumesThatTell(pod),
		},
	}
	kept.ManagedFields = nil
	return kept, nil
}

// stripSecret leaves out what a Secret holds but for certificates and the operator's own ACL tokens, and says what that
// was: it is read where a pod is created of it.
func stripSecret(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return object, nil
	}
	kept := &corev1.Secret{
		ObjectMeta: secret.ObjectMeta, Immutable: secret.Immutable, Type: secret.Type, Data: resources.Cached(secret),
	}
	kept.ManagedFields = nil
	kept.Annotations = maps.Clone(secret.Annotations)
	delete(kept.Annotations, corev1.LastAppliedConfigAnnotation) // what it holds once more
	if kept.Annotations == nil {
		kept.Annotations = map[string]string{}
	}
	kept.Annotations[resources.AnnotationDigest] = resources.Digest(secret)
	kept.Annotations[resources.AnnotationGossipStage] = string(resources.GossipStageOf(secret))
	return kept, nil
}

// clusterOf is the cluster that an object is labeled with.
func clusterOf(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[v1alpha1.LabelCluster]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}
