package localcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// controlPlane is etcd, kube-apiserver, kube-controller-manager and kube-scheduler, the real programs. They are started here
// and not by envtest because envtest's outlive a program that is killed.
type controlPlane struct {
	dir, binDir string
	host        string
	services    []corev1.IPFamily // none: loopback addresses
	processes   *processes
	ca          *authority
	saKey       string
	config      *rest.Config
	kubeconfig  string
	kubeletAuth keyPair
	log         logr.Logger
	stopping    atomic.Bool
}

// clusterDomain is what names of Services end in.
const clusterDomain = "cluster.local"

// component is a running part of the control plane.
type component struct {
	name string
	log  string
	proc *process
}

func (cp *controlPlane) startAPIServer(ctx context.Context) error {
	etcdURL, etcd, err := cp.startEtcd()
	if err != nil {
		return err
	}
	port, err := freePort(cp.host)
	if err != nil {
		return err
	}
	if err := cp.credentials(port); err != nil {
		return err
	}
	networks, first := cp.serviceNetworks()
	serving, err := cp.ca.serving("kube-apiserver", append(first, cp.host, "127.0.0.1"),
		[]string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"})
	if err != nil {
		return err
	}
	apiserver, err := cp.start("kube-apiserver",
		"--etcd-servers="+etcdURL,
		"--bind-address="+cp.host,
		"--advertise-address="+cp.host,
		"--secure-port="+strconv.Itoa(port),
		"--tls-cert-file="+serving.certFile,
		"--tls-private-key-file="+serving.keyFile,
		"--client-ca-file="+cp.ca.path("ca.crt"),
		"--kubelet-client-certificate="+cp.kubeletAuth.certFile,
		"--kubelet-client-key="+cp.kubeletAuth.keyFile,
		"--kubelet-certificate-authority="+cp.ca.path("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-key-file="+cp.saKey,
		"--service-account-signing-key-file="+cp.saKey,
		"--service-account-issuer=https://kubernetes.default.svc."+clusterDomain,
		"--service-cluster-ip-range="+strings.Join(networks, ","),
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		// Its own endpoint may be a loopback address, which endpoints may not hold.
		"--endpoint-reconciler-type=none",
	)
	if err != nil {
		return err
	}
	return cp.awaitReady(ctx, etcd, apiserver)
}

func (cp *controlPlane) startEtcd() (string, *component, error) {
	client, err := freePort(cp.host)
	if err != nil {
		return "", nil, err
	}
	clientURL := "http://" + net.JoinHostPort(cp.host, strconv.Itoa(client))
	etcd, err := cp.start("etcd",
		"--data-dir="+filepath.Join(cp.dir, "etcd"),
		"--listen-client-urls="+clientURL,
		"--advertise-client-urls="+clientURL,
		"--listen-peer-urls=http://"+net.JoinHostPort(cp.host, "0"),
		// Nothing of a local cluster survives its program, so its writes need not survive a power cut.
		"--unsafe-no-fsync",
	)
	return clientURL, etcd, err
}

// serviceNetworks are those of Services, and the first address in each of them, which is that of the API server.
func (cp *controlPlane) serviceNetworks() (networks, first []string) {
	families := cp.services
	if len(families) == 0 {
		families = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	for _, family := range families {
		networks = append(networks, fmt.Sprintf("%s/%d", serviceNetworks[family], serviceBits[family]))
		first = append(first, inNetwork(serviceNetworks[family], 1))
	}
	return networks, first
}

// writesEndpoints reports whether the real controllers write endpoints. They cannot if pods have loopback addresses:
// kube-apiserver refuses those in the endpoints that they would write (see endpoints.go).
func (cp *controlPlane) writesEndpoints() bool { return len(cp.services) > 0 }

// startControllers runs the real controllers, as many of them as can work.
func (cp *controlPlane) startControllers() error {
	controllers := "*"
	if !cp.writesEndpoints() {
		controllers += ",-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller"
	}
	return cp.startClient("kube-controller-manager",
		"--root-ca-file="+cp.ca.path("ca.crt"),
		"--service-account-private-key-file="+cp.saKey,
		"--controllers="+controllers,
		// The defaults make tests wait: a client limited to 20 requests a second, and 5 s steps.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	)
}

func (cp *controlPlane) startScheduler() error { return cp.startClient("kube-scheduler") }

// startClient runs a program that works through the API server, beside those of other clusters.
func (cp *controlPlane) startClient(name string, args ...string) error {
	port, err := freePort(cp.host)
	if err != nil {
		return err
	}
	_, err = cp.start(name, append([]string{
		"--kubeconfig=" + cp.kubeconfig,
		"--authentication-kubeconfig=" + cp.kubeconfig,
		"--authorization-kubeconfig=" + cp.kubeconfig,
		"--bind-address=" + cp.host,
		"--secure-port=" + strconv.Itoa(port),
		"--cert-dir=" + filepath.Join(cp.dir, "certs", name),
		"--leader-elect=false",
	}, args...)...)
	return err
}

// start runs a program of bin/ with its output in a file of its own.
func (cp *controlPlane) start(name string, args ...string) (*component, error) {
	path := filepath.Join(cp.binDir, name)
	logPath := filepath.Join(cp.dir, "logs", name+".log")
	logFile, err := os.Create(logPath) //nolint:gosec // our own directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }()
	cmd := exec.Command(path, args...) //nolint:gosec // the programs of bin/
	cmd.Dir = cp.dir
	cmd.Stdout, cmd.Stderr = logFile, logFile
	proc, err := cp.processes.start(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		<-proc.exited
		if !cp.stopping.Load() {
			cp.log.Error(nil, "a part of the control plane ended", "name", name, "exitCode", proc.exitCode(), "log", logPath)
		}
	}()
	return &component{name: name, log: logPath, proc: proc}, nil
}

// awaitReady polls the API server, which tells nobody when it becomes ready.
func (cp *controlPlane) awaitReady(ctx context.Context, components ...*component) error {
	client, err := kubernetes.NewForConfig(cp.config)
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var code int
		err := client.RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&code).Error()
		if err == nil && code == http.StatusOK {
			return nil
		}
		for _, c := range components {
			select {
			case <-c.proc.exited:
				return fmt.Errorf("%s ended with exit code %d: see %s", c.name, c.proc.exitCode(), c.log)
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver is not ready (%w, last answer: %w): see %s",
				context.Cause(ctx), err, filepath.Join(cp.dir, "logs"))
		case <-tick.C:
		}
	}
}

// credentials makes the keys, and the configuration of an administrator.
func (cp *controlPlane) credentials(port int) error {
	admin, err := cp.ca.client("admin", "system:masters")
	if err != nil {
		return err
	}
	if cp.kubeletAuth, err = cp.ca.client("kube-apiserver-kubelet-client", "system:masters"); err != nil {
		return err
	}
	if cp.saKey, err = cp.ca.signingKey("service-accounts.key"); err != nil {
		return err
	}
	cp.config = &rest.Config{
		Host: "https://" + net.JoinHostPort(cp.host, strconv.Itoa(port)),
		TLSClientConfig: rest.TLSClientConfig{
			CAData: cp.ca.certPEM(), CertData: admin.cert, KeyData: admin.key,
		},
		QPS: 1000, Burst: 2000, // one user, no reason to wait for one's own client
	}
	cp.kubeconfig = filepath.Join(cp.dir, "kubeconfig")
	return cp.writeKubeconfig(admin)
}

func (cp *controlPlane) writeKubeconfig(admin keyPair) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["local"] = &clientcmdapi.Cluster{
		Server: cp.config.Host, CertificateAuthorityData: cp.ca.certPEM(),
	}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: admin.cert, ClientKeyData: admin.key,
	}
	config.Contexts["local"] = &clientcmdapi.Context{Cluster: "local", AuthInfo: "admin"}
	config.CurrentContext = "local"
	return clientcmd.WriteToFile(*config, cp.kubeconfig)
}

// checkPrograms says which programs are missing, before anything is started.
func (cp *controlPlane) checkPrograms() error {
	var missing []error
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		if _, err := os.Stat(filepath.Join(cp.binDir, name)); err != nil {
			missing = append(missing, err)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("programs are missing, run `make tools`: %w", errors.Join(missing...))
	}
	return nil
}
