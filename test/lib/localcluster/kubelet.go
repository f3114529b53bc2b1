package localcluster

import (
	"path/filepath"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// kubelet runs the pods of all nodes, a podWorker for each.
type kubelet struct {
	log       logr.Logger
	client    kubernetes.Interface
	events    record.EventRecorder
	images    Images
	processes *processes
	block     *addressBlock
	hosts     *hosts
	nodes     map[string]*virtualNode
	dir       string
	claims    corelisters.PersistentVolumeClaimLister
	volumes   corelisters.PersistentVolumeLister

	mu      sync.Mutex
	workers map[types.UID]*podWorker
	latest  map[types.NamespacedName]*podWorker // of each name, also when it is gone: its logs stay
	stopped bool
}

func newKubelet(c *Cluster, images Images, hosts *hosts, factory informers.SharedInformerFactory) *kubelet {
	k := &kubelet{
		log: c.log.WithName("kubelet"), client: c.client, events: c.events,
		images: images, processes: c.processes, block: c.block, hosts: hosts, dir: c.dir,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		nodes:   map[string]*virtualNode{},
		workers: map[types.UID]*podWorker{},
		latest:  map[types.NamespacedName]*podWorker{},
	}
	for _, node := range c.nodes {
		k.nodes[node.name] = node
	}
	_, _ = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { k.observe(obj.(*corev1.Pod)) },
		UpdateFunc: func(before, after any) {
			old, pod := before.(*corev1.Pod), after.(*corev1.Pod)
			if old.UID != pod.UID { // deleted and made again, seen as one update
				k.vanished(old.UID)
			}
			k.observe(pod)
		},
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if pod, ok := obj.(*corev1.Pod); ok {
				k.vanished(pod.UID)
			}
		},
	})
	_, _ = factory.Core().V1().Secrets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, after any) { k.changed(after.(*corev1.Secret)) },
	})
	return k
}

// changed brings the files up to date that show what a Secret holds.
func (k *kubelet) changed(secret *corev1.Secret) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, worker := range k.workers {
		if pod := worker.newest(); pod.Namespace == secret.Namespace && shows(pod, secret.Name) {
			go worker.refresh()
		}
	}
}

func shows(pod *corev1.Pod, secret string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return slices.Contains(secretsOf(&v), secret) })
}

// observe hands a pod to its worker, which it starts when there is none. A worker stays until its object is gone, so
// that a late event of a finished pod starts nothing.
func (k *kubelet) observe(pod *corev1.Pod) {
	node := k.nodes[pod.Spec.NodeName]
	if node == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	worker := k.workers[pod.UID]
	if worker == nil {
		worker = newPodWorker(k, node, pod)
		k.workers[pod.UID] = worker
		k.latest[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = worker
		go worker.run()
	}
	worker.observe(pod)
}

// vanished ends a pod whose object is gone, by us or by force.
func (k *kubelet) vanished(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if worker := k.workers[uid]; worker != nil {
		delete(k.workers, uid)
		worker.force()
	}
}

// stop kills all pods and waits for them.
func (k *kubelet) stop() {
	k.mu.Lock()
	k.stopped = true
	workers := make([]*podWorker, 0, len(k.workers))
	for _, worker := range k.workers {
		workers = append(workers, worker)
	}
	k.mu.Unlock()
	for _, worker := range workers {
		worker.force()
	}
	for _, worker := range workers {
		<-worker.done
	}
}

func (k *kubelet) worker(namespace, pod string) *podWorker {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.latest[types.NamespacedName{Namespace: namespace, Name: pod}]
}

// podLogDir holds the logs of one pod; its name tells pods of the same name apart.
func (k *kubelet) podLogDir(pod *corev1.Pod) string {
	return filepath.Join(k.dir, "logs", "pods", pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
}
