package controllers

import (
	"slices"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

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
			&batchv1.Job{}:                  {Label: ours, Transform: stripJob},
			&discoveryv1.EndpointSlice{}:    {Label: ours, Transform: stripSlice},
		},
		DefaultTransform:  stripMeta,
		DefaultNamespaces: namespaces,
	}
}

// stripMeta leaves out of any object what nobody reads.
func stripMeta(object any) (any, error) {
	if o, err := meta.Accessor(object); err == nil {
		slim(o)
	}
	return object, nil
}

// slim leaves out the managed fields, which are half of an object, and has no text of its own where thousands have the same.
func slim(o metav1.Object) {
	o.SetManagedFields(nil)
	o.SetNamespace(shared.text(o.GetNamespace()))
	o.SetLabels(shared.keys(o.GetLabels()))
	o.SetAnnotations(shared.keys(o.GetAnnotations()))
	owners := slices.Clone(o.GetOwnerReferences())
	for i := range owners {
		owners[i].APIVersion, owners[i].Kind = shared.text(owners[i].APIVersion), shared.text(owners[i].Kind)
	}
	o.SetOwnerReferences(owners)
}

// shared are texts that the objects in memory have in common. What differs from cluster to cluster is not among them.
var shared = texts{known: map[string]string{}}

// mostTexts is how many texts are shared. There are fewer, unless somebody labels each object in another way.
const mostTexts = 1000

type texts struct {
	mu    sync.Mutex
	known map[string]string
}

func (t *texts) text(s string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.known[s]; ok {
		return known
	}
	if len(t.known) < mostTexts {
		t.known[s] = s
	}
	return s
}

// keys returns a copy of a map, with keys that are shared.
func (t *texts) keys(of map[string]string) map[string]string {
	if of == nil {
		return nil
	}
	out := make(map[string]string, len(of))
	for key, value := range of {
		out[t.text(key)] = value
	}
	return out
}

// stripNode keeps the fields of a node that tell whether it takes pods, and where its kubelet listens.
func stripNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion},
		Spec:       corev1.NodeSpec{Unschedulable: node.Spec.Unschedulable, Taints: node.Spec.Taints},
		Status:     corev1.NodeStatus{Addresses: node.Status.Addresses, DaemonEndpoints: node.Status.DaemonEndpoints},
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
	slim(kept)
	return kept, nil
}

// stripJob leaves out what a Job is to run: what counts is whether it has ended, and how.
func stripJob(object any) (any, error) {
	job, ok := object.(*batchv1.Job)
	if !ok {
		return object, nil
	}
	kept := &batchv1.Job{ObjectMeta: job.ObjectMeta}
	kept.Spec.TTLSecondsAfterFinished, kept.Status.Conditions = job.Spec.TTLSecondsAfterFinished, job.Status.Conditions
	slim(kept)
	return kept, nil
}

// stripSlice leaves out where the endpoints are: what counts is their addresses, and whether they are ready.
func stripSlice(object any) (any, error) {
	slice, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return object, nil
	}
	kept := &discoveryv1.EndpointSlice{ObjectMeta: slice.ObjectMeta, AddressType: slice.AddressType}
	slim(kept)
	for _, endpoint := range slice.Endpoints {
		kept.Endpoints = append(kept.Endpoints, discoveryv1.Endpoint{
			Addresses: endpoint.Addresses, Conditions: discoveryv1.EndpointConditions{Ready: endpoint.Conditions.Ready},
		})
	}
	return kept, nil
}

// stripSecret leaves out what a Secret holds but for certificates and the operator's own ACL tokens: it is read where a pod is
// created of it.
func stripSecret(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return object, nil
	}
	kept := &corev1.Secret{
		ObjectMeta: secret.ObjectMeta, Immutable: secret.Immutable, Type: secret.Type, Data: resources.Cached(secret),
	}
	slim(kept)
	delete(kept.Annotations, corev1.LastAppliedConfigAnnotation) // what it holds once more
	return kept, nil
}
