package main

import (
	"cmp"
	"context"
	"flag"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/consul-operator/consul-operator/controllers"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// operatorCommand makes this program the operator of a run: the controllers of the product, whose calls go where chaos can reach
// them. Without root nothing on a machine can tell the operator's connections from those of clients, and the product has
// no switch for it: it lets nobody redirect its calls. All other tests run the operator's own binary.
const operatorCommand = "operator"

func operatorMain(args []string) {
	gate := flag.String("gate", "", "address that leads to the API server")
	detours := flag.String("detours", "", "folder with a link for each agent that somebody else answers for")
	_ = flag.CommandLine.Parse(args) // exits on error
	ctrl.SetLogger(zap.New())
	if err := runOperator(*gate, *detours); err != nil {
		ctrl.Log.Error(err, "the operator stops")
		os.Exit(1)
	}
}

func runOperator(gate, detours string) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, gate)
	}
	ctx := ctrl.SetupSignalHandler()
	mapper, err := controllers.AwaitAPIServer(ctx, ctrl.Log, config, harness.Scheme())
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: harness.Scheme(), Logger: ctrl.Log, Metrics: server.Options{BindAddress: "0"}, Cache: controllers.Cache(nil),
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil },
	})
	if err != nil {
		return err
	}
	dial := withDetours(detours, consul.NewDialer(0))
	options := controllers.Options{Concurrent: 32, Nodes: true, Image: "consul-operator:local", Dial: dial}
	if err := controllers.Setup(mgr, options); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// withDetours leads calls of an agent to another address while there is a link of the agent's address to that one.
func withDetours(folder string, dial consul.Dialer) consul.Dialer {
	return func(target consul.Target) consul.Agent {
		elsewhere, _ := os.Readlink(filepath.Join(folder, target.Address)) // there rarely is one
		target.Address = cmp.Or(elsewhere, target.Address)
		return dial(target)
	}
}

// lines are what the operator's calls go through.
type lines struct {
	gate    *gate
	detours string
	// silent lets everybody connect, and nobody answers.
	silent net.Listener
}

func openLines(scene *harness.Scene) (*lines, error) {
	l := &lines{detours: filepath.Join(scene.Dir, "detours")}
	if err := os.Mkdir(l.detours, 0o755); err != nil { //nolint:gosec // for everybody to look at
		return nil, err
	}
	var err error
	if l.silent, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	l.gate, err = openGate(scene.Config.Host)
	return l, err
}

// operator is the command that runs an operator on these lines.
func (l *lines) operator(kubeconfig string) ([]string, error) {
	program, err := os.Executable()
	return []string{
		program, operatorCommand, "--kubeconfig=" + kubeconfig, "--gate=" + l.gate.address(), "--detours=" + l.detours,
	}, err
}

func (l *lines) close() {
	_ = l.silent.Close()
	if l.gate != nil {
		l.gate.close()
	}
}
