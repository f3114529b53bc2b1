package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// These must match hack/tools/kubernetes/go.mod. The build of a release puts Kubernetes' version in by linker flags.
const (
	kubernetesVersion = "v1.36.3"
	etcdVersion       = "v3.6.8"
)

// tool is one program to build.
type tool struct {
	name     string
	dir      string // where its go.mod is
	pkg      string
	ldflags  string
	gcflags  []string // each for the packages that match a pattern, as `go build -gcflags` takes them; the last one wins
	replaced []string // the files of a module of ours that stands in for a dependency
	own      bool     // built from this repository: Go itself finds out what changed
	usual    string   // how long it takes with empty caches, on two cores
	ready    ready    // where it may be instead
	found    string   // where it is
}

// Compiler flags for programs that nobody debugs here. Several compilers run at a time, so one thread is enough for each.
// Without the optimizer etcd takes a fifth less time (and a seventh less without debugging information).
const (
	undebugged  = "-dwarf=false -c=1"
	unoptimized = undebugged + " -N -l"
)

// unusedByConsul are the clients of clouds, Kubernetes and Envoy that every Consul is linked with, half of what there is to
// compile, and its other commands. No server here calls them, or only when it starts.
var unusedByConsul = []string{
	"cloud.google.com/...", "github.com/aliyun/...", "github.com/aws/...", "github.com/cncf/...", "github.com/envoyproxy/...",
	"github.com/google/gnostic/...", "github.com/hashicorp/consul/command/...", "github.com/hashicorp/hcl/...",
	"github.com/hashicorp/hcp-sdk-go/...", "github.com/zclconf/...", "go.mongodb.org/...", "go.opentelemetry.io/...",
	"google.golang.org/api/...", "k8s.io/...",
}

// knownTools lists everything that can be built. The Consul versions are the folders there are.
func knownTools(modules, version string) ([]tool, error) { //nolint:funlen // a table
	dirs, err := filepath.Glob(filepath.Join(modules, "consul-*"))
	if err != nil {
		return nil, err
	}
	goDiscover, err := filesBelow(filepath.Join(modules, "go-discover"))
	if err != nil {
		return nil, err
	}
	tools := []tool{
		module(modules, "controller-gen", "sigs.k8s.io/controller-tools/cmd/controller-gen", "1 min"),
		etcd(modules),
		module(modules, "gotestsum", "gotest.tools/gotestsum", "10 s"),
		kubernetes(modules, "kube-apiserver", "7 min 30 s"),
		kubernetes(modules, "kube-controller-manager", "2 min"),
		kubernetes(modules, "kubectl", "45 s"),
		kubernetes(modules, "kube-scheduler", "30 s"),
		kubernetes(modules, "kubelet", "1 min"),
		kubernetes(modules, "kube-proxy", "15 s"),
		of(modules, "containerd", "github.com/containerd/containerd/v2/cmd/containerd", "1 min"),
		of(modules, "containerd", "github.com/containerd/containerd/v2/cmd/ctr", "15 s"),
		of(modules, "containerd", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "15 s"),
		module(modules, "kube-router", "github.com/cloudnativelabs/kube-router/cmd/kube-router", "1 min"),
		module(modules, "coredns", "github.com/coredns/coredns", "2 min"),
		module(modules, "kind", "sigs.k8s.io/kind", "15 s"),
		helm(modules),
		module(modules, "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", "3 min"),
		of(modules, "prometheus", "github.com/prometheus/prometheus/cmd/promtool", "30 s"),
		module(modules, "prometheus-operator", "github.com/prometheus-operator/prometheus-operator/cmd/operator", "1 min"),
		module(modules, "versitygw", "github.com/versity/versitygw/cmd/versitygw", "1 min 30 s"),
		module(modules, "rclone", "github.com/consul-operator/consul-operator/hack/tools/rclone", "20 s"),
		module(modules, "helm-docs", "github.com/norwoodj/helm-docs/cmd/helm-docs", "15 s"),
		module(modules, "crd-ref-docs", "github.com/elastic/crd-ref-docs", "1 min"),
		module(modules, "misspell", "github.com/golangci/misspell/cmd/misspell", "5 s"),
		module(modules, "govulncheck", "golang.org/x/vuln/cmd/govulncheck", "15 s"),
		of(modules, "govulncheck", "golang.org/x/vulndb/cmd/indexdb", "1 min"),
	}
	for _, dir := range dirs {
		t := module(modules, filepath.Base(dir), "github.com/hashicorp/consul", "10 min, another version after it 1 to 4 min")
		for _, packages := range unusedByConsul {
			t.gcflags = append(t.gcflags, packages+"="+unoptimized)
		}
		t.replaced = goDiscover
		t.ldflags += " " + hostsFlag
		t.ready = readyConsul(strings.TrimPrefix(t.name, "consul-"))
		tools = append(tools, t)
	}
	tools = append(tools,
		module(modules, "golangci-lint", "github.com/golangci/golangci-lint/v2/cmd/golangci-lint", "2 min"),
		inPods(own("consul-operator", ".", version)),
		own("kubectl-consul", "./internal/plugin/kubectl-consul", version),
		own("demo", "./test/cmd/demo", version),
		own("bench", "./test/cmd/bench", version),
		own("benchscale", "./test/cmd/benchscale", version),
		own("benchsecurity", "./test/cmd/benchsecurity", version),
		own("benchsnapshots", "./test/cmd/benchsnapshots", version),
		own("chaos", "./test/cmd/chaos", version),
		own("provisioner", "./test/cmd/provisioner", version),
		own("pause", "./hack/nodes/pause", version),
		tool{name: "image", dir: "hack/image", pkg: ".", own: true, usual: "15 s"},
		tool{name: "delay", dir: "hack/delay", pkg: ".", own: true, usual: "5 s"},
		tool{name: "certmanager", dir: "hack/certmanager", pkg: ".", own: true, usual: "1 min 30 s"},
	)
	return tools, nil
}

func module(modules, name, pkg string, usual string) tool {
	return tool{
		name: name, dir: filepath.Join(modules, name), pkg: pkg, usual: usual,
		ldflags: "-s -w", gcflags: []string{"all=" + undebugged},
	}
}

// of is one of several programs of a module; it is called as its package's folder.
func of(modules, name, pkg, usual string) tool {
	t := module(modules, name, pkg, usual)
	t.name = path.Base(pkg)
	return t
}

func kubernetes(modules, name string, usual string) tool {
	const at = "k8s.io/component-base/version."
	t := module(modules, name, "k8s.io/kubernetes/cmd/"+name, usual)
	t.dir = filepath.Join(modules, "kubernetes")
	parts := strings.Split(strings.TrimPrefix(kubernetesVersion, "v"), ".")
	t.ldflags += fmt.Sprintf(" -X %sgitVersion=%s -X %sgitMajor=%s -X %sgitMinor=%s",
		at, kubernetesVersion, at, parts[0], at, parts[1])
	return controlPlane(t)
}

// etcd is built in the module of kube-apiserver, whose client of etcd has the same dependencies.
func etcd(modules string) tool {
	t := module(modules, "etcd", "go.etcd.io/etcd/server/v3", "1 min 30 s")
	t.dir = filepath.Join(modules, "kubernetes")
	return controlPlane(t)
}

// controlPlane is a program that has little to do here and takes long to compile. The standard library, which all share, is
// compiled as for the others. What a Consul server runs is compiled as its makers do: it is what is measured.
func controlPlane(t tool) tool {
	t.gcflags = []string{"all=" + unoptimized, "std=" + undebugged}
	t.ready = readyAssets(t.name)
	return t
}

// helm is told which Kubernetes it renders for when it asks none, as its own releases are.
func helm(modules string) tool {
	t := module(modules, "helm", "helm.sh/helm/v3/cmd/helm", "2 min")
	minor := strings.Split(kubernetesVersion, ".")[1]
	for _, pkg := range []string{"pkg/lint/rules", "pkg/chartutil"} {
		t.ldflags += fmt.Sprintf(" -X helm.sh/helm/v3/%s.k8sVersionMajor=1 -X helm.sh/helm/v3/%s.k8sVersionMinor=%s", pkg, pkg, minor)
	}
	return t
}

func own(name, pkg, version string) tool {
	if version == "" {
		version = "dev"
	}
	return tool{name: name, dir: ".", pkg: pkg, ldflags: "-X main.version=" + version, own: true, usual: "2 min, then 15 s"}
}

// inPods is a program that also runs in pods of the local cluster.
func inPods(t tool) tool {
	t.ldflags += " " + hostsFlag
	return t
}

// choose finds the tools by name and tells what there is when a name is unknown.
func choose(known []tool, names []string) ([]tool, error) {
	var chosen []tool
	for _, name := range names {
		if name == "all" {
			chosen = append(chosen, slices.DeleteFunc(slices.Clone(known), func(t tool) bool { return t.own })...)
			continue
		}
		i := slices.IndexFunc(known, func(t tool) bool { return t.name == name })
		switch version, isConsul := strings.CutPrefix(name, "consul-"); {
		case i >= 0:
			chosen = append(chosen, known[i])
		case isConsul:
			return nil, fmt.Errorf("there is no Consul %q here; there are %s (to add one: %s/README.md)",
				version, strings.Join(consulVersions(known), ", "), modulesDir)
		default:
			return nil, fmt.Errorf("there is no tool %q; there are %s", name, strings.Join(namesOf(known), ", "))
		}
	}
	return dedup(chosen), nil
}

func consulVersions(known []tool) []string {
	var versions []string
	for _, t := range known {
		if version, ok := strings.CutPrefix(t.name, "consul-"); ok && !t.own {
			versions = append(versions, version)
		}
	}
	return versions
}

func namesOf(tools []tool) []string {
	names := make([]string, 0, len(tools))
	for _, t := range tools {
		names = append(names, t.name)
	}
	return names
}

// dedup keeps the first of each: FROM and TO of an upgrade may be the same version.
func dedup(tools []tool) []tool {
	var unique []tool
	for _, t := range tools {
		if !slices.Contains(namesOf(unique), t.name) {
			unique = append(unique, t)
		}
	}
	return unique
}

func (t tool) binary() string { return filepath.Join(binDir, t.name) }
func (t tool) stamp() string  { return filepath.Join(binDir, ".stamps", t.name) }

func filesBelow(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
