package localcluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// selectedNodeAnnotation tells a provisioner that a claim's first consumer has a node.
const selectedNodeAnnotation = "volume.kubernetes.io/selected-node"

// scheduler binds pending pods to nodes. It knows cordons, taints, node selectors, required node affinity, required pod
// anti-affinity, resource requests and claims; among the nodes left it takes the one with the fewest pods.
type scheduler struct {
	*loop
	client  kubernetes.Interface
	events  record.EventRecorder
	pods    corelisters.PodLister
	nodes   corelisters.NodeLister
	claims  corelisters.PersistentVolumeClaimLister
	classes storagelisters.StorageClassLister

	// bound remembers our own bindings until the informer shows them: two pods in a row must see each other.
	bound map[types.UID]string
}

func newScheduler(c *Cluster, factory informers.SharedInformerFactory) *scheduler {
	s := &scheduler{
		client:  c.client,
		events:  c.events,
		pods:    factory.Core().V1().Pods().Lister(),
		nodes:   factory.Core().V1().Nodes().Lister(),
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
		bound:   map[types.UID]string{},
	}
	s.loop = newLoop("scheduler", c.log, s.schedule)
	onChange(factory.Core().V1().Pods().Informer(), func(obj any) {
		pod := obj.(*corev1.Pod)
		switch {
		case pod.Spec.NodeName == "":
			s.put(pod)
		case pod.DeletionTimestamp != nil: // leaves room for others
			s.putPending(metav1.NamespaceAll)
		}
	})
	onChange(factory.Core().V1().Nodes().Informer(), func(any) { s.putPending(metav1.NamespaceAll) })
	onChange(factory.Core().V1().PersistentVolumeClaims().Informer(), func(obj any) {
		s.putPending(obj.(*corev1.PersistentVolumeClaim).Namespace)
	})
	onChange(factory.Storage().V1().StorageClasses().Informer(), func(any) { s.putPending(metav1.NamespaceAll) })
	return s
}

func (s *scheduler) putPending(namespace string) {
	pods, _ := s.pods.Pods(namespace).List(labels.Everything())
	for _, pod := range pods {
		if pod.Spec.NodeName == "" {
			s.put(pod)
		}
	}
}

func (s *scheduler) schedule(ctx context.Context, key string) error {
	namespace, name, _ := cache.SplitMetaNamespaceKey(key)
	pod, err := s.pods.Pods(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0 {
		return err
	}
	if s.bound[pod.UID] != "" || !slices.Contains([]string{"", corev1.DefaultSchedulerName}, pod.Spec.SchedulerName) {
		return nil
	}
	node, reason, err := s.selectNode(pod)
	if err != nil {
		return err
	}
	if node != "" {
		var bound bool
		if bound, reason, err = s.claimsBound(ctx, pod, node); err != nil {
			return err
		}
		if bound {
			return s.bind(ctx, pod, node)
		}
	}
	if reason == "" {
		return nil // the claims are on their way
	}
	return s.unschedulable(ctx, pod, reason)
}

func (s *scheduler) bind(ctx context.Context, pod *corev1.Pod, node string) error {
	err := s.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("binding: %w", err)
	}
	s.bound[pod.UID] = node
	s.events.Eventf(pod, corev1.EventTypeNormal, "Scheduled", "Successfully assigned %s/%s to %s",
		pod.Namespace, pod.Name, node)
	return nil
}

// selectNode returns a node that fits, or why none does, in the words of kube-scheduler.
func (s *scheduler) selectNode(pod *corev1.Pod) (name, reason string, err error) {
	nodes, err := s.nodes.List(labels.Everything())
	if err != nil {
		return "", "", err
	}
	all, err := s.pods.List(labels.Everything())
	if err != nil {
		return "", "", err
	}
	byNode := s.placed(all)
	slices.SortFunc(nodes, func(a, b *corev1.Node) int {
		if d := len(byNode[a.Name]) - len(byNode[b.Name]); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	reasons := map[string]int{}
	for _, node := range nodes {
		why := unfit(pod, node, nodes, byNode)
		if why == "" {
			return node.Name, "", nil
		}
		reasons[why]++
	}
	parts := make([]string, 0, len(reasons))
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, fmt.Sprintf("%d %s", reasons[why], why))
	}
	return "", fmt.Sprintf("0/%d nodes are available: %s.", len(nodes), strings.Join(parts, ", ")), nil
}

// placed groups the pods that hold resources by node.
func (s *scheduler) placed(pods []*corev1.Pod) map[string][]*corev1.Pod {
	byNode, seen := map[string][]*corev1.Pod{}, map[types.UID]bool{}
	for _, pod := range pods {
		seen[pod.UID] = true
		node := pod.Spec.NodeName
		if node == "" {
			node = s.bound[pod.UID]
		} else {
			delete(s.bound, pod.UID)
		}
		if node != "" && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			byNode[node] = append(byNode[node], pod)
		}
	}
	maps.DeleteFunc(s.bound, func(uid types.UID, _ string) bool { return !seen[uid] })
	return byNode
}

// claimsBound asks for the volumes of unbound claims, and tells whether there are none left.
func (s *scheduler) claimsBound(ctx context.Context, pod *corev1.Pod, node string) (bound bool, reason string, err error) {
	bound = true
	for _, volume := range pod.Spec.Volumes {
		name := claimName(pod, &volume)
		if name == "" {
			continue
		}
		claim, err := s.claims.PersistentVolumeClaims(pod.Namespace).Get(name)
		if apierrors.IsNotFound(err) {
			return false, fmt.Sprintf("persistentvolumeclaim %q not found", name), nil
		}
		if err != nil {
			return false, "", err
		}
		if claim.DeletionTimestamp != nil {
			return false, fmt.Sprintf("persistentvolumeclaim %q is being deleted", name), nil
		}
		if claim.Status.Phase == corev1.ClaimBound {
			continue
		}
		bound = false
		if waits, err := s.askForVolume(ctx, claim, node); err != nil {
			return false, "", err
		} else if !waits {
			reason = "pod has unbound immediate PersistentVolumeClaims"
		}
	}
	return bound, reason, nil
}

// askForVolume marks a claim that waits for its first consumer; false when its class does not.
func (s *scheduler) askForVolume(ctx context.Context, claim *corev1.PersistentVolumeClaim, node string) (bool, error) {
	if claim.Spec.StorageClassName == nil {
		return false, nil
	}
	class, err := s.classes.Get(*claim.Spec.StorageClassName)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if class.VolumeBindingMode == nil || *class.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer {
		return false, nil
	}
	if claim.Annotations[selectedNodeAnnotation] != "" {
		return true, nil
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, selectedNodeAnnotation, node)
	_, err = s.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name,
		types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	return true, err
}

func (s *scheduler) unschedulable(ctx context.Context, pod *corev1.Pod, message string) error {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Message == message {
			return nil
		}
	}
	s.events.Event(pod, corev1.EventTypeWarning, "FailedScheduling", message)
	patch := podStatusPatch{Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		Message: message, LastTransitionTime: metav1.Now(),
	}}}
	err := patch.apply(ctx, s.client, pod)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
