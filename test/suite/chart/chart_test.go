// Package chart tests the Helm chart with the real helm and a real API server.
package chart

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/consul-operator/consul-operator/test/lib/harness"
)

var update = flag.Bool("update", false, "write the golden files anew")

const chart = "../../../charts/consul-operator"

// values of installations that are kept as golden files.
var installations = map[string][]string{
	"default": nil,
	"two-namespaces": {
		"--set=watchNamespaces={blue,red}", "--set=rbac.aggregate=false", "--set=metrics.enabled=false", "--set=crds.install=false",
		"--set=admissionPolicies.install=false",
	},
	"everything": {
		"--set=replicas=2", "--set=image.repository=mirror.example/consul-operator",
		"--set=image.digest=sha256:" + strings.Repeat("0", 64), "--set=image.pullSecrets[0].name=mirror",
		"--set=metrics.serviceMonitor.enabled=true", "--set=metrics.serviceMonitor.labels.release=prometheus",
		"--set=metrics.prometheusRule.enabled=true", "--set=metrics.prometheusRule.labels.release=prometheus",
		"--set=volumeUsage.kubeletCAConfigMap=kubelets",
		"--set=networkPolicy.enabled=true", "--set=priorityClassName=system-cluster-critical",
		"--set=nodeSelector.disk=fast", "--set=tolerations[0].operator=Exists", "--set=podLabels.team=blue",
		"--set=podAnnotations.note=x", "--set=serviceAccount.annotations.role=x", "--set=logLevel=debug",
	},
}

// helm runs helm and returns what it prints.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	binary, err := filepath.Abs("../../../bin/helm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("run make tools: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), binary, args...) //nolint:gosec // our own binary
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func template(t *testing.T, values ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", "consul-operator", chart, "--namespace=operators"}, values...)...)
}

func TestLint(t *testing.T) {
	output, err := helm(t, "lint", "--strict", chart)
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), output)
}

// What is rendered is kept, so that a reviewer sees what a change of the chart does to users. The CRD is generated, and
// left out.
func TestRendered(t *testing.T) {
	for name, values := range installations {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rendered, err := template(t, append(values, "--set=crds.install=false")...)
			g.Expect(err).NotTo(HaveOccurred(), rendered)
			file := filepath.Join("testdata", name+".golden")
			if *update {
				g.Expect(os.MkdirAll("testdata", 0o750)).To(Succeed())
				g.Expect(os.WriteFile(file, []byte(rendered), 0o600)).To(Succeed())
			}
			golden, err := os.ReadFile(file) //nolint:gosec // our own file
			g.Expect(err).NotTo(HaveOccurred(), "run with -update to write it")
			g.Expect(rendered).To(Equal(string(golden)), "run with -update if this is what users should get")
		})
	}
}

// Values that mean nothing are refused by name, and not ignored.
func TestWrongValuesAreRefused(t *testing.T) {
	for _, test := range []struct{ value, names string }{
		{"replicaCount=3", "replicaCount"},
		{"replicas=-1", "replicas"},
		{"image.tagg=1", "tagg"},
		{"image.digest=sha256:0", "digest"},
		{"image.pullPolicy=Sometimes", "pullPolicy"},
		{"watchNamespaces={Blue}", "watchNamespaces"},
		{"consulTimeout=2", "consulTimeout"},
		{"logLevel=trace", "logLevel"},
		{"networkPolicy.apiServerPorts={0}", "apiServerPorts"},
	} {
		t.Run(test.value, func(t *testing.T) {
			output, err := template(t, "--set="+test.value)
			NewWithT(t).Expect(err).To(HaveOccurred())
			NewWithT(t).Expect(output).To(ContainSubstring(test.names))
		})
	}
}

// README.md is generated; a value without a comment is a row without words.
func TestEveryValueIsExplained(t *testing.T) {
	g := NewWithT(t)
	readme, err := os.ReadFile(filepath.Join(chart, "README.md"))
	g.Expect(err).NotTo(HaveOccurred())
	var unexplained []string
	for line := range strings.Lines(string(readme)) {
		if strings.HasPrefix(line, "|") && strings.HasSuffix(strings.TrimSpace(line), "|  |") {
			unexplained = append(unexplained, line)
		}
	}
	g.Expect(unexplained).To(BeEmpty())
	g.Expect(string(readme)).To(ContainSubstring("| watchNamespaces | list |"))
}

// What `helm test` runs is not taken for the operator, and creates its cluster where the operator looks.
func TestOwnTest(t *testing.T) {
	g := NewWithT(t)
	rendered, err := template(t, "--show-only=templates/tests/check.yaml", "--set=watchNamespaces={blue,red}")
	g.Expect(err).NotTo(HaveOccurred(), rendered)
	g.Expect(rendered).To(And(
		ContainSubstring("args: [check, --namespace=blue,"),
		Not(ContainSubstring("app.kubernetes.io/name: consul-operator\n"))))
}

func TestCRDIsKept(t *testing.T) {
	g := NewWithT(t)
	kept, err := template(t, "--show-only=templates/crds.yaml")
	g.Expect(err).NotTo(HaveOccurred(), kept)
	g.Expect(kept).To(ContainSubstring("helm.sh/resource-policy: keep"))
	dropped, err := template(t, "--show-only=templates/crds.yaml", "--set=crds.keep=false")
	g.Expect(err).NotTo(HaveOccurred(), dropped)
	g.Expect(dropped).NotTo(ContainSubstring("helm.sh/resource-policy"))
}

// A real API server takes an installation, an upgrade of it, and its end; the CRD stays.
func TestInstallUpgradeUninstall(t *testing.T) {
	g := NewWithT(t)
	environment := harness.APIServer("../../..")
	_, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred(), "run make tools")
	t.Cleanup(func() { _ = environment.Stop() })
	user, err := environment.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	raw, err := user.KubeConfig()
	g.Expect(err).NotTo(HaveOccurred())
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(os.WriteFile(kubeconfig, raw, 0o600)).To(Succeed())
	run := func(args ...string) string {
		output, err := helm(t, append(args, "--kubeconfig="+kubeconfig, "--namespace=operators")...)
		g.Expect(err).NotTo(HaveOccurred(), output)
		return output
	}
	notes := run("install", "consul-operator", chart, "--create-namespace")
	g.Expect(notes).To(ContainSubstring("kubectl get consulclusters --watch"))
	second, err := helm(t, "install", "another", chart, "--create-namespace", "--namespace=elsewhere", "--kubeconfig="+kubeconfig)
	g.Expect(err).To(HaveOccurred(), "two operators would work against each other")
	g.Expect(second).To(ContainSubstring("consulclusters.consuloperator.io"))
	run("upgrade", "consul-operator", chart, "--set=replicas=3", "--set=networkPolicy.enabled=true")
	g.Expect(run("uninstall", "consul-operator")).To(ContainSubstring("consulclusters.consuloperator.io"), "it says what it keeps")
}
