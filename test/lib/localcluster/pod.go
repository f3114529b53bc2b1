package localcluster

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podWorker runs one pod from the moment it is bound until its object may go.
type podWorker struct {
	kubelet *kubelet
	node    *virtualNode
	key     types.NamespacedName
	uid     types.UID
	dir     string
	logDir  string
	start   metav1.Time

	octet     byte // in which its addresses end; 0 before it has any
	addresses []string

	// Three degrees of an end, each part of the next: stopping (deleted: preStop, SIGTERM), hard (the grace period is
	// over: SIGKILL), forced (the object is gone or the cluster stops: SIGKILL, and nothing is reported).
	stopping, hard, forced context.Context
	stop, endGrace, force  context.CancelFunc

	initContainers, containers []*container

	mu          sync.Mutex
	pod         *corev1.Pod // the newest we saw
	grace       *int64      // the shortest asked for
	initialized bool
	finished    bool // no container will run again
	transitions map[corev1.PodConditionType]corev1.PodCondition

	dirty   chan struct{}
	writeMu sync.Mutex
	written *podStatusPatch
	done    chan struct{}
}

func newPodWorker(k *kubelet, node *virtualNode, pod *corev1.Pod) *podWorker {
	w := &podWorker{
		kubelet: k, node: node, uid: pod.UID, pod: pod,
		key:         types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name},
		dir:         filepath.Join(k.dir, "pods", string(pod.UID)),
		logDir:      k.podLogDir(pod),
		start:       metav1.Now(),
		transitions: map[corev1.PodConditionType]corev1.PodCondition{},
		dirty:       make(chan struct{}, 1),
		done:        make(chan struct{}),
	}
	w.forced, w.force = context.WithCancel(context.Background())
	w.hard, w.endGrace = context.WithCancel(w.forced)
	w.stopping, w.stop = context.WithCancel(w.hard)
	for i := range pod.Spec.InitContainers {
		w.initContainers = append(w.initContainers, newContainer(w, &pod.Spec.InitContainers[i], true))
	}
	for i := range pod.Spec.Containers {
		w.containers = append(w.containers, newContainer(w, &pod.Spec.Containers[i], false))
	}
	return w
}

// observe takes note of a newer version of the pod. Whatever changed in it may change the status, above all the
// condition of a readiness gate.
func (w *podWorker) observe(pod *corev1.Pod) {
	before := w.newest()
	w.update(func() { w.pod = pod })
	if !maps.Equal(before.Annotations, pod.Annotations) || !maps.Equal(before.Labels, pod.Labels) {
		go w.refresh()
	}
	if pod.DeletionTimestamp == nil {
		return
	}
	var grace int64
	if pod.DeletionGracePeriodSeconds != nil {
		grace = *pod.DeletionGracePeriodSeconds
	}
	w.mu.Lock()
	shorter := w.grace == nil || grace < *w.grace
	if shorter {
		w.grace = &grace
	}
	w.mu.Unlock()
	if shorter {
		time.AfterFunc(time.Duration(grace)*time.Second, w.endGrace)
	}
	w.stop()
}

// refresh brings the files up to date that show the pod's labels and annotations.
func (w *podWorker) refresh() {
	for _, c := range slices.Concat(w.initContainers, w.containers) {
		if w.stopping.Err() != nil {
			return
		}
		if err := c.refresh(); err != nil {
			w.kubelet.log.Info("files are not up to date", "pod", w.key.String(), "reason", err.Error())
		}
	}
}

// update changes what the status is computed from, and has it written.
func (w *podWorker) update(change func()) {
	w.mu.Lock()
	change()
	w.mu.Unlock()
	select {
	case w.dirty <- struct{}{}:
	default: // is about to be written anyway
	}
}

func (w *podWorker) newest() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod
}

func (w *podWorker) run() {
	defer close(w.done)
	if w.prepare() {
		go w.reportStatus()
		w.runContainers()
		w.update(func() { w.finished = true })
		<-w.stopping.Done()
	}
	w.removeObject()
	for _, c := range slices.Concat(w.initContainers, w.containers) {
		w.kubelet.hosts.remove(w.key.Namespace, c.rootfs())
	}
	_ = os.RemoveAll(w.dir)
	// Only now may somebody else get the address: nothing listens on it any more.
	if w.octet != 0 {
		w.kubelet.block.free(w.octet)
	}
	w.force() // releases the contexts
}

// prepare gives the pod its address and directories; false when the pod ended before that worked.
func (w *podWorker) prepare() bool {
	for {
		err := w.tryPrepare()
		if err == nil {
			return true
		}
		w.kubelet.events.Event(w.newest(), corev1.EventTypeWarning, "FailedCreatePodSandBox", err.Error())
		if !sleep(w.stopping, time.Second) {
			return false
		}
	}
}

func (w *podWorker) tryPrepare() error {
	for _, dir := range []string{w.logDir, filepath.Join(w.dir, "volumes")} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // read by people
			return err
		}
	}
	octet, err := w.kubelet.block.allocate()
	if err == nil {
		w.octet, w.addresses = octet, w.kubelet.block.addresses(octet)
	}
	return err
}

// runContainers starts them in the order of a kubelet, and returns when they ended for good.
func (w *podWorker) runContainers() {
	sidecars, ok := w.runInitContainers()
	if ok {
		w.update(func() { w.initialized = true })
		for _, c := range w.containers {
			go c.run()
		}
		for _, c := range w.containers {
			<-c.done
		}
	}
	for _, c := range slices.Backward(sidecars) {
		c.stop()
		<-c.done
	}
}

// runInitContainers runs one after the other; a sidecar need only have started.
func (w *podWorker) runInitContainers() (sidecars []*container, ok bool) {
	for _, c := range w.initContainers {
		if w.stopping.Err() != nil {
			return sidecars, false
		}
		go c.run()
		if c.sidecar() {
			sidecars = append(sidecars, c)
			select {
			case <-c.hasStarted:
			case <-w.stopping.Done():
				return sidecars, false
			}
			continue
		}
		<-c.done
		if !c.succeeded() {
			return sidecars, false
		}
	}
	return sidecars, w.stopping.Err() == nil
}

// removeObject reports the last status and lets the object go, unless it is gone already.
func (w *podWorker) removeObject() {
	if w.forced.Err() != nil {
		return
	}
	w.writeStatus()
	for w.forced.Err() == nil {
		options := metav1.NewDeleteOptions(0)
		options.Preconditions = metav1.NewUIDPreconditions(string(w.uid))
		// Not w.forced: that ends when the object goes, which may be known before the answer is read.
		ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
		err := w.kubelet.client.CoreV1().Pods(w.key.Namespace).Delete(ctx, w.key.Name, *options)
		cancel()
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		w.kubelet.log.V(1).Info("deleting the pod failed, trying again", "pod", w.key.String(), "reason", err.Error())
		sleep(w.forced, 100*time.Millisecond)
	}
}

func (w *podWorker) event(kind, reason, format string, args ...any) {
	w.kubelet.events.Event(w.newest(), kind, reason, fmt.Sprintf(format, args...))
}

func (w *podWorker) container(name string) *container {
	for _, c := range slices.Concat(w.initContainers, w.containers) {
		if c.spec.Name == name {
			return c
		}
	}
	return nil
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
