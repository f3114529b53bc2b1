// Command consul-operator runs Consul server clusters on Kubernetes so that nobody notices an upgrade. `consul-operator check`
// reports whether an installed operator works, and `consul-operator snapshot` saves and restores snapshots.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"
	_ "time/tzdata" // the image has none, and schedules have time zones

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/controllers"
	"github.com/consul-operator/consul-operator/internal/check"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/internal/snapshot"
	"github.com/consul-operator/consul-operator/internal/volumes"
)

// version is set by the build.
var version = "dev"

// readWithin is how long a readiness probe waits for the first read of what is watched: less than the second that it may take.
const readWithin = 500 * time.Millisecond

// flags of the operator.
type flags struct {
	leaderElect   bool
	probeAddress  string
	metrics       string
	metricsSecure bool
	pprof         string
	namespaces    string
	nodes         bool
	volumeUsage   bool
	kubeletCA     string
	concurrent    int
	consulTimeout time.Duration
	secretDelay   time.Duration
	podNamespace  string
	podLabels     string
	jobImage      string
	showVersion   bool
	zap           zap.Options
}

func parseFlags() flags {
	var f flags
	flag.BoolVar(&f.leaderElect, "leader-elect", true, "elect one active operator among several replicas")
	flag.StringVar(&f.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 disables them")
	flag.StringVar(&f.metrics, "metrics-bind-address", ":8443", "address of /metrics; 0 disables it")
	flag.BoolVar(&f.metricsSecure, "metrics-secure", true, "serve /metrics over HTTPS to clients that the API server authorizes")
	flag.StringVar(&f.pprof, "pprof-bind-address", "0", "address of /debug/pprof, for whoever reaches it; 0 disables it")
	flag.StringVar(&f.namespaces, "watch-namespaces", "", "comma-separated namespaces to watch; all if empty")
	flag.BoolVar(&f.nodes, "watch-nodes", true, "move servers off draining nodes; needs permission to read nodes")
	flag.BoolVar(&f.volumeUsage, "volume-usage", true, "ask kubelets how full volumes are; needs --watch-nodes and nodes/stats")
	flag.StringVar(&f.kubeletCA, "kubelet-certificate-authority", "", "file with those who issue kubelets' certificates; "+
		"that of the API server if empty")
	flag.IntVar(&f.concurrent, "max-concurrent-reconciles", 32, "maximum concurrent reconciles; most of them wait for agents")
	flag.DurationVar(&f.consulTimeout, "consul-timeout", 2*time.Second, "timeout of a call to a Consul agent")
	flag.DurationVar(&f.secretDelay, "secret-delay", 2*time.Minute, "how long kubelets may take to show pods a changed Secret")
	flag.StringVar(&f.podNamespace, "pod-namespace", "", "namespace of the operator's own pods; empty if it runs elsewhere")
	flag.StringVar(&f.podLabels, "pod-labels", "", "labels of the operator's own pods (a=b,c=d), which NetworkPolicies let in")
	flag.StringVar(&f.jobImage, "job-image", "", "the operator's own image, which the Jobs of snapshots run")
	flag.BoolVar(&f.showVersion, "version", false, "print the version and exit")
	f.zap.BindFlags(flag.CommandLine)
	flag.Parse()
	return f
}

// commands are what the program does besides being the operator.
var commands = map[string]func([]string) error{
	"check":    runCheck,
	"install":  install,
	"snapshot": runSnapshot,
}

func main() {
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		if err := commands[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			if errors.Is(err, snapshot.ErrAgain) {
				os.Exit(resources.ExitAgain)
			}
			os.Exit(1)
		}
		return
	}
	f := parseFlags()
	if f.showVersion {
		fmt.Println(version)
		return
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&f.zap)))
	// The operator waits most of the time: memory is worth more than what it takes to collect it sooner.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(15)
	}
	if err := run(f); err != nil {
		ctrl.Log.Error(err, "the operator stops")
		os.Exit(1)
	}
}

// apiServer returns how to reach the API server, and a scheme with the types of Kubernetes and of this API.
func apiServer() (*rest.Config, *runtime.Scheme, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("no configuration for the API server, try --kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	return config, scheme, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
}

// runCheck implements `consul-operator check`, which `helm test` runs to find out whether the installed operator works.
func runCheck(args []string) error {
	set := flag.NewFlagSet("consul-operator check", flag.ExitOnError)
	namespace := set.String("namespace", "default", "a namespace that the operator watches")
	name := set.String("name", "consul-operator-check", "name of the ConsulCluster that is created and deleted")
	timeout := set.Duration("timeout", time.Minute, "how long to wait for the operator's answer")
	config.RegisterFlags(set)
	_ = set.Parse(args) // exits on error
	server, scheme, err := apiServer()
	if err != nil {
		return err
	}
	api, err := client.New(server, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctrl.SetupSignalHandler(), *timeout)
	defer cancel()
	return check.Run(ctx, api, client.ObjectKey{Namespace: *namespace, Name: *name}, 500*time.Millisecond, os.Stdout)
}

// runSnapshot implements `consul-operator snapshot`, which the Jobs of snapshots run.
func runSnapshot(args []string) error {
	ctrl.SetLogger(zap.New())
	return snapshot.Run(ctrl.SetupSignalHandler(), args, os.Stdout, os.Stderr)
}

// install copies this program, for containers of other images.
func install(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: consul-operator install FILE")
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(program)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755) //nolint:gosec // a program, in a volume of its pod
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

func run(f flags) error {
	server, scheme, err := apiServer()
	if err != nil {
		return err
	}
	ctx := ctrl.SetupSignalHandler()
	mapper, err := awaitAPIServer(ctx, f.probeAddress, server, scheme)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(server, ctrl.Options{
		Scheme: scheme, Logger: ctrl.Log,
		MapperProvider:         func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil },
		Metrics:                metricsOptions(f),
		HealthProbeBindAddress: f.probeAddress,
		PprofBindAddress:       f.pprof,
		LeaderElection:         f.leaderElect,
		LeaderElectionID:       "consul-operator.consuloperator.io",
		// Release the lease when the operator stops, so that the next replica takes over at once.
		LeaderElectionReleaseOnCancel: true,
		Cache:                         controllers.Cache(namespaces(f.namespaces)),
	})
	if err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("healthz", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("readyz", hasRead(mgr.GetCache())); err != nil {
		return err
	}
	own, err := labels.ConvertSelectorToLabelsMap(f.podLabels)
	if err != nil {
		return fmt.Errorf("--pod-labels: %w", err)
	}
	options := controllers.Options{
		Concurrent: f.concurrent, Nodes: f.nodes, SecretDelay: f.secretDelay, Dial: consul.NewDialer(f.consulTimeout),
		Self: resources.Self{Namespace: f.podNamespace, Labels: own}, Image: f.jobImage,
	}
	if f.nodes && f.volumeUsage {
		if options.Kubelets, err = volumes.KubeletClient(server, f.kubeletCA); err != nil {
			return err
		}
	}
	if err := controllers.Setup(mgr, options); err != nil {
		return err
	}
	ctrl.Log.Info("starting", "version", version, "namespaces", f.namespaces)
	return mgr.Start(ctx)
}

// awaitAPIServer waits for the API server. Meanwhile the operator is alive, and not ready.
func awaitAPIServer(ctx context.Context, probes string, server *rest.Config, scheme *runtime.Scheme) (meta.RESTMapper, error) {
	if probes != "0" {
		answers := http.NewServeMux()
		answers.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
		meanwhile := &http.Server{Addr: probes, Handler: answers, ReadHeaderTimeout: readWithin}
		go func() { _ = meanwhile.ListenAndServe() }() // without it, a kubelet starts the operator again
		defer func() { _ = meanwhile.Shutdown(ctx) }() // the manager takes over
	}
	return controllers.AwaitAPIServer(ctx, ctrl.Log, server, scheme)
}

// hasRead makes an operator ready when it has read all that it watches. One that stands by watches nothing yet.
func hasRead(watched cache.Cache) healthz.Checker {
	return func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), readWithin)
		defer cancel()
		if !watched.WaitForCacheSync(ctx) {
			return errors.New("not all objects that are watched have been read yet")
		}
		return nil
	}
}

func metricsOptions(f flags) server.Options {
	options := server.Options{BindAddress: f.metrics, SecureServing: f.metricsSecure}
	if f.metricsSecure {
		options.FilterProvider = filters.WithAuthenticationAndAuthorization
		options.TLSOpts = []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }}
	}
	return options
}

// namespaces returns the namespaces of a list; nil stands for all of them. An empty entry, as after a comma at the end, is
// no namespace: the cache would take it for all.
func namespaces(list string) map[string]cache.Config {
	var watched map[string]cache.Config
	for entry := range strings.SplitSeq(list, ",") {
		name := strings.TrimSpace(entry)
		if name == "" {
			continue
		}
		if watched == nil {
			watched = map[string]cache.Config{}
		}
		watched[name] = cache.Config{}
	}
	return watched
}
