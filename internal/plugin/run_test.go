package plugin

import (
	"bytes"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// run runs a command line without a cluster, and returns the exit code, what is printed and what goes to stderr.
func run(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	streams, _, stdout, stderr := genericiooptions.NewTestIOStreams()
	code = Run(t.Context(), streams, "1.2.3", args)
	return code, stdout.String(), stderr.String()
}

// A command line that cannot be understood is refused before anything is asked.
func TestWrongUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"status", "a", "b"}, "one ConsulCluster at a time"},
		{[]string{"status", "-o", "xml"}, "-o xml"},
		{[]string{"status", "--unknown"}, "unknown flag"},
		{[]string{"scale"}, "say REPLICAS"},
		{[]string{"scale", "consul", "many"}, "is no number of servers"},
		{[]string{"rotate", "consul", "everything"}, "cannot be rotated"},
		{[]string{"upgrade"}, "say VERSION"},
		{[]string{"transfer", "a", "b", "c"}, "say CLUSTER and SERVER"},
		{[]string{"version", "1"}, "it takes no arguments"},
		{[]string{"upgrades", "1.22.7"}, "unknown command"},
		{[]string{"exec", "consul", "members"}, "say the command behind --"},
		{[]string{"exec", "consul", "--pod", "consul-0", "--"}, "say the command behind --"},
		{[]string{"logs", "--since", "10ms"}, "--since is at least 1s"},
		{[]string{"logs", "--tail", "-2"}, "--tail is no negative number"},
		{[]string{"token", "a", "b"}, "one ConsulCluster at a time"},
		{[]string{"snapshot", "take"}, `there is no command "take"`},
		{[]string{"snapshot", "save", "--verify", "Inspect"}, "it is Archive or Restore"},
		{[]string{"snapshot", "save", "--to", "consul.snap", "--verify", "Restore"}, "--verify is for snapshots in the store"},
		{[]string{"snapshot", "list", "-o", "wide"}, "-o wide"},
		{[]string{"snapshot", "inspect"}, "say the NAME of a ConsulSnapshot"},
		{[]string{"snapshot", "restore"}, "say the NAME of a ConsulSnapshot"},
		{[]string{"snapshot", "restore", "consul", "nightly", "--from", "consul.snap"}, "one ConsulCluster at a time"},
		{[]string{"snapshot", "restore", "--from", "consul.snap", "--skip-snapshot"}, "--skip-snapshot is for snapshots in the store"},
	} {
		g := NewWithT(t)
		code, out, errOut := run(t, test.args...)
		g.Expect(code).To(Equal(exitUsage), "%v", test.args)
		g.Expect(out).To(BeEmpty())
		g.Expect(errOut).To(ContainSubstring(test.says))
	}
}

// What needs no cluster works without one.
func TestWithoutACluster(t *testing.T) {
	g := NewWithT(t)
	code, out, _ := run(t, "version", "--client")
	g.Expect(code).To(Equal(exitOK))
	g.Expect(out).To(HavePrefix("plugin    1.2.3 ("))
	code, out, _ = run(t, "--help")
	g.Expect(code).To(Equal(exitOK))
	golden(t, "help", withoutFlags(out))
	code, _, errOut := run(t, "status")
	g.Expect(code).To(Equal(exitFailed))
	g.Expect(errOut).To(HavePrefix("error: "))
	code, _, errOut = run(t, "snapshot", "save", "--to", "run_test.go")
	g.Expect(code).To(Equal(exitFailed))
	g.Expect(errOut).To(Equal("error: run_test.go exists, and is not overwritten: choose another name\n"))
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, out, _ = run(t, "completion", shell)
		g.Expect(code).To(Equal(exitOK))
		g.Expect(out).NotTo(BeEmpty())
	}
}

// withoutFlags leaves out the flags that all kubectl commands have.
func withoutFlags(help string) string {
	before, _, _ := bytes.Cut([]byte(help), []byte("\nFlags:"))
	return string(before)
}
