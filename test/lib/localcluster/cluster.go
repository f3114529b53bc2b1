package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
)

// Options of a cluster. The zero value is a useful cluster.
type Options struct {
	// Dir holds state and logs. It must not hold a cluster yet. Default: a new folder run-* in .local of the repository.
	Dir string
	// BinDir holds the programs. Default: bin of the repository.
	BinDir string
	// Nodes is their number, 1 by default.
	Nodes int
	// APIServerOnly leaves out all but etcd and kube-apiserver: no controllers, no scheduler and no nodes.
	APIServerOnly bool
	Log           logr.Logger
	// Images tells which program stands for an image. Default: ConsulImages(BinDir).
	Images Images
	// Families are those of the addresses of pods and nodes, the first one that of status.podIP. Such a cluster has a network
	// of its own and needs a program in a namespace of its own for it (package netns). By default there are loopback
	// addresses, beside those of other clusters.
	Families []corev1.IPFamily
	// ServiceFamilies are those of Services, the first one what a Service has by default. Default: Families.
	ServiceFamilies []corev1.IPFamily
	// Progress hears what takes a while, one line each.
	Progress func(string)
}

// Cluster is a running cluster.
type Cluster struct {
	dir, binDir string
	log         logr.Logger
	progress    func(string)

	lock      *os.File
	block     *addressBlock
	processes *processes
	control   *controlPlane
	client    kubernetes.Interface
	nodes     []*virtualNode
	kubelet   *kubelet

	broadcaster record.EventBroadcaster
	events      record.EventRecorder

	factory  informers.SharedInformerFactory
	cancel   context.CancelFunc
	loops    sync.WaitGroup
	stopOnce sync.Once
}

// Start starts a cluster; ctx bounds the start only. The cluster runs until Stop, at most as long as the program.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{dir: o.Dir, binDir: o.BinDir, log: o.Log, progress: o.Progress}
	if c.log.GetSink() == nil {
		c.log = logr.Discard()
	}
	if c.progress == nil {
		c.progress = func(string) {}
	}
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.Nodes < 0 || o.Nodes > maxNodes {
		return nil, fmt.Errorf("a local cluster has 1 to %d nodes, not %d", maxNodes, o.Nodes)
	}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, o Options) error {
	if err := c.prepareDirs(); err != nil {
		return err
	}
	images := o.Images
	if images == nil {
		images = ConsulImages(c.binDir)
	}
	if err := c.startControlPlane(ctx, o); err != nil || o.APIServerOnly {
		return err
	}
	c.progress("starting kube-controller-manager and kube-scheduler")
	if err := errors.Join(c.control.startControllers(), c.control.startScheduler()); err != nil {
		return err
	}
	c.progress(fmt.Sprintf("starting %d virtual node(s)", o.Nodes))
	return c.startNodes(ctx, o.Nodes, images)
}

func (c *Cluster) startControlPlane(ctx context.Context, o Options) (err error) {
	c.control = &controlPlane{dir: c.dir, binDir: c.binDir, log: c.log, services: o.ServiceFamilies}
	if len(c.control.services) == 0 {
		c.control.services = o.Families
	}
	if err := c.control.checkPrograms(); err != nil {
		return err
	}
	if c.block, err = acquireBlock(o.Families); err != nil {
		return err
	}
	c.control.host = c.block.addresses(controlPlaneOctet)[0]
	if c.processes, err = newProcesses(); err != nil {
		return err
	}
	c.control.processes = c.processes
	if c.control.ca, err = newAuthority(filepath.Join(c.dir, "certs")); err != nil {
		return err
	}
	c.progress("starting etcd and kube-apiserver")
	if err := c.control.startAPIServer(ctx); err != nil {
		return err
	}
	quiet := c.Config()
	quiet.WarningHandler = rest.NoWarnings{} // FQDN endpoints are deprecated, and there is nothing else for us
	c.client, err = kubernetes.NewForConfig(quiet)
	return err
}

// startNodes starts all that stands in for kubelets, provisioner and DNS.
func (c *Cluster) startNodes(ctx context.Context, count int, images Images) error {
	running, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.broadcaster = record.NewBroadcaster()
	c.broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: c.client.CoreV1().Events("")})
	c.events = c.broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "localcluster"})

	factory := informers.NewSharedInformerFactory(c.client, 0)
	c.factory = factory
	for i := range count {
		c.nodes = append(c.nodes, &virtualNode{
			name: fmt.Sprintf("node-%d", i+1), addresses: c.block.addresses(byte(firstNodeOctet + i)), index: i, //nolint:gosec // few
		})
	}
	hosts := newHosts(c, factory)
	provisioner := newProvisioner(c.client, filepath.Join(c.dir, "volumes"), c.log, factory)
	loops := []*loop{hosts.loop, provisioner.claimLoop, provisioner.volumeLoop}
	if !c.control.writesEndpoints() {
		loops = append(loops, newEndpoints(c, factory).loop)
	}
	c.kubelet = newKubelet(c, images, hosts, factory)
	if err := c.serveKubelets(running); err != nil {
		return err
	}
	if err := provisioner.createClass(ctx); err != nil {
		return err
	}
	for _, node := range c.nodes {
		if err := node.register(ctx, c.client); err != nil {
			return err
		}
		c.loops.Go(func() { node.heartbeat(running, c) })
	}
	factory.Start(running.Done())
	factory.WaitForCacheSync(ctx.Done())
	for _, l := range loops {
		c.loops.Go(func() { l.run(running) })
	}
	return c.awaitUsable(ctx)
}

// awaitUsable waits until pods can be created in the namespace default: each needs a service account, and the
// controller makes it.
func (c *Cluster) awaitUsable(ctx context.Context) error {
	for {
		_, err := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		if err == nil || (!apierrors.IsNotFound(err) && ctx.Err() == nil) {
			return err
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("kube-controller-manager made no service account (%w): see %s",
				context.Cause(ctx), filepath.Join(c.dir, "logs", "kube-controller-manager.log"))
		}
	}
}

// Config is an administrator's.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.control.config) }

// Kubeconfig is the path of an administrator's kubeconfig file.
func (c *Cluster) Kubeconfig() string { return c.control.kubeconfig }

// Dir holds state and logs.
func (c *Cluster) Dir() string { return c.dir }

// LogFile is the log of a container of the newest pod of that name, also after the pod is gone; empty if there never
// was such a pod.
func (c *Cluster) LogFile(namespace, pod, container string) string {
	worker := c.kubelet.worker(namespace, pod)
	if worker == nil {
		return ""
	}
	return filepath.Join(worker.logDir, container+".log")
}

// PID is that of the running process of a container, for who wants to disturb it.
func (c *Cluster) PID(namespace, pod, container string) (int, bool) {
	worker := c.kubelet.worker(namespace, pod)
	if worker == nil {
		return 0, false
	}
	ctr := worker.container(container)
	if ctr == nil {
		return 0, false
	}
	worker.mu.Lock()
	defer worker.mu.Unlock()
	if ctr.proc == nil {
		return 0, false
	}
	return ctr.proc.pid, true
}

// Loopback is what stands for 127.0.0.1 in the newest pod of that name; empty if there never was such a pod.
func (c *Cluster) Loopback(namespace, pod string) string {
	worker := c.kubelet.worker(namespace, pod)
	if worker == nil {
		return ""
	}
	return c.block.loopback(worker.octet)
}

// Stop kills everything at once: pods first, then the control plane. Logs stay, state does not.
func (c *Cluster) Stop() error {
	var err error
	c.stopOnce.Do(func() { err = c.stop() })
	return err
}

func (c *Cluster) stop() error {
	if c.kubelet != nil {
		c.kubelet.stop()
	}
	if c.cancel != nil {
		c.cancel()
		c.broadcaster.Shutdown()
		c.loops.Wait()
		c.factory.Shutdown()
	}
	if c.processes != nil {
		c.control.stopping.Store(true)
		c.processes.stop()
	}
	if c.block != nil {
		c.block.release()
	}
	if c.lock == nil { // never was ours
		return nil
	}
	err := removeState(c.dir)
	return errors.Join(err, c.lock.Close())
}
