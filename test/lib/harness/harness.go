// Package harness brings up what programs and suites run on: an environment (Env), which is the local cluster or one that runs
// already, the CRD and the operator, its real binary in a process of its own that can be killed and started again; and in it a
// scene (Scene), which is one cluster of Consul servers under load and observation.
package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/child"
	"github.com/consul-operator/consul-operator/test/lib/localcluster"
)

// Options of an environment.
type Options struct {
	// Name begins the name of the directory that holds data and logs, under .local/ of the repository.
	Name string
	// Nodes of the cluster; 3 by default.
	Nodes int
	// Families of the addresses of pods and nodes, and of Services: as in localcluster.Options.
	Families, ServiceFamilies []corev1.IPFamily
	// APIServerOnly is a cluster without controllers, scheduler and nodes.
	APIServerOnly bool
	// Progress is told what is being done; it may be nil.
	Progress func(string)
	// Log of the local cluster; by default it is not kept.
	Log logr.Logger
	// WithoutOperator leaves the operator to StartOperator.
	WithoutOperator bool
	// OperatorBinary is the operator's program; bin/consul-operator if empty. OperatorArgs are added to its command line.
	OperatorBinary string
	OperatorArgs   []string
	// Kubeconfig of a cluster that runs already, from where its pods are reached; by default a local one is started.
	Kubeconfig string
}

// Env is a running environment.
type Env struct {
	Cluster *localcluster.Cluster
	Config  *rest.Config
	Client  client.Client
	// Dir holds all data and logs.
	Dir string
	// Operator is the command that StartOperator runs; by default the operator's binary.
	Operator []string

	root         string
	kubeconfig   string
	binary       string
	operatorArgs []string

	mu       sync.Mutex
	operator *child.Process
	crashed  chan struct{}
}

// Start brings up a cluster with the CRD and, unless told otherwise, the operator.
func Start(ctx context.Context, options Options) (*Env, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	programs := []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
	if options.Kubeconfig != "" {
		programs = nil
	}
	if !options.WithoutOperator {
		programs = append(programs, "consul-operator")
	}
	if err := CheckPrograms(programs...); err != nil {
		return nil, err
	}
	dir, err := newDir(root, options.Name)
	if err != nil {
		return nil, err
	}
	e := &Env{
		Dir: dir, root: root, binary: options.OperatorBinary, operatorArgs: options.OperatorArgs, crashed: make(chan struct{}),
	}
	if err := e.start(ctx, options); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// Attach is an environment on a cluster that somebody else started, and on which the operator is deployed.
func Attach(kubeconfig string) (*Env, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	e := &Env{root: root, kubeconfig: kubeconfig}
	if e.Config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return nil, err
	}
	e.Client, err = client.New(e.Config, client.Options{Scheme: Scheme()})
	return e, err
}

func (e *Env) start(ctx context.Context, options Options) error {
	progress := options.Progress
	if progress == nil {
		progress = func(string) {}
	}
	if err := e.connect(ctx, options, progress); err != nil {
		return err
	}
	var err error
	if e.Client, err = client.New(e.Config, client.Options{Scheme: Scheme()}); err != nil {
		return err
	}
	progress("installing the CRD")
	if err := InstallCRDs(e.Config, crds(e.root)); err != nil {
		return fmt.Errorf("installing the CRD: %w", err)
	}
	if options.WithoutOperator {
		return nil
	}
	progress("starting the operator")
	return e.StartOperator()
}

// connect finds the cluster of the kubeconfig, or starts one.
func (e *Env) connect(ctx context.Context, options Options, progress func(string)) (err error) {
	if e.kubeconfig = options.Kubeconfig; e.kubeconfig != "" {
		e.Config, err = clientcmd.BuildConfigFromFlags("", e.kubeconfig)
		return err
	}
	if options.Nodes == 0 {
		options.Nodes = 3
	}
	// The local cluster's endpoint slices are of a deprecated type, and it is told so with every one it writes.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	if options.Log.GetSink() == nil {
		options.Log = logr.Discard()
	}
	e.Cluster, err = localcluster.Start(ctx, localcluster.Options{
		Dir: filepath.Join(e.Dir, "cluster"), BinDir: filepath.Join(e.root, "bin"),
		Nodes: options.Nodes, Families: options.Families, ServiceFamilies: options.ServiceFamilies,
		APIServerOnly: options.APIServerOnly, Log: options.Log, Progress: progress,
	})
	if err != nil {
		return fmt.Errorf("local cluster: %w", err)
	}
	e.Config, e.kubeconfig = e.Cluster.Config(), e.Cluster.Kubeconfig()
	return nil
}

// Stop ends everything that Start and the environment's methods started.
func (e *Env) Stop() error {
	e.StopOperator()
	if e.Cluster == nil {
		return nil
	}
	return e.Cluster.Stop()
}

// StartOperator starts the operator.
func (e *Env) StartOperator() error {
	command := e.Operator
	if command == nil {
		command = append([]string{
			cmp.Or(e.binary, filepath.Join(e.root, "bin", "consul-operator")), "--kubeconfig=" + e.kubeconfig, "--leader-elect=false",
			"--metrics-bind-address=0", "--health-probe-bind-address=0", "--secret-delay=5s", // pods read it when they start
			"--job-image=consul-operator:local",
		}, e.operatorArgs...)
	}
	operator, err := child.Start(e.OperatorLog(), command[0], command[1:]...)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.operator = operator
	e.mu.Unlock()
	go func() {
		<-operator.Exited()
		if !operator.ExitExpected() {
			close(e.crashed)
		}
	}()
	return nil
}

// KillOperator ends the operator as a crash does, and returns when it is gone.
func (e *Env) KillOperator() {
	if operator := e.running(); operator != nil {
		operator.Kill()
	}
}

// StopOperator asks the operator to end and waits for it.
func (e *Env) StopOperator() {
	if operator := e.running(); operator != nil {
		operator.Stop(10 * time.Second)
	}
}

func (e *Env) running() *child.Process {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.operator
}

// OperatorPID is the number of the operator's process; 0 if it was never started.
func (e *Env) OperatorPID() int {
	if operator := e.running(); operator != nil {
		return operator.PID()
	}
	return 0
}

// OperatorCrashed is closed when the operator's process ends without having been asked to.
func (e *Env) OperatorCrashed() <-chan struct{} { return e.crashed }

// OperatorLog is the file with the operator's log; restarts add to it.
func (e *Env) OperatorLog() string { return filepath.Join(e.Dir, "operator.log") }

// Kubeconfig is the path of an administrator's kubeconfig file.
func (e *Env) Kubeconfig() string { return e.kubeconfig }

// Kubectl runs the real kubectl and returns what it prints.
func (e *Env) Kubectl(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--kubeconfig=" + e.kubeconfig}, args...)
	output, err := exec.CommandContext(ctx, filepath.Join(e.root, "bin", "kubectl"), args...).CombinedOutput()
	return strings.TrimRight(string(output), "\n"), err
}

// Scheme knows the types of Kubernetes and ours.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // Two types of one name: a mistake in the code.
		}
	}
	return scheme
}

// Root is the repository's root: the folder with go.mod, here or above.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the repository: no go.mod there or above", start)
		}
	}
}

// CheckPrograms says which of the programs are missing in bin/ and how to get them.
func CheckPrograms(names ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(root, "bin", name)); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("missing in %s: %s; build with: go run ./hack/buildtools %[2]s",
		filepath.Join(root, "bin"), strings.Join(missing, " "))
}

// newDir makes a directory of this run's own, so that runs side by side do not meet.
func newDir(root, name string) (string, error) {
	local := filepath.Join(root, ".local")
	if err := os.MkdirAll(local, 0o755); err != nil { //nolint:gosec // logs, for everybody to read
		return "", err
	}
	dir, err := os.MkdirTemp(local, name+"-"+time.Now().Format("150405")+"-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) //nolint:gosec // logs, for everybody to read
}
