package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plugin"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// wrongUsage is the exit code for a command line that cannot be understood.
const wrongUsage = 2

// A person reads the token and the logs, and takes and restores snapshots, with `kubectl consul` only, and with the rights that
// the reference names for each command. The nodes of this environment run no commands in pods and forward no ports:
// test/suite/e2e tells of exec, ui and snapshots in files.
func TestKubectlConsulReachesConsul(t *testing.T) {
	long(t)
	const name = "reached"
	store := startStore(t)
	key := store.secrets(t, name)
	s := begin(t, shared, name, func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Snapshots = store.snapshots(name, key)
	})
	p := &person{story: s, ctx: t.Context()}
	p.printsTheToken()
	s.put("greeting", "old")
	p.saves()
	p.readsLogs()
	p.ownDoing = "was deleted while it is a Raft peer" // to replace a server is to delete its claim
	p.followsLogs()
	s.end(1)
	s.put("greeting", "new")
	p.restores()
	p.mayNot()
}

// typed runs a command line with the rights of a command, and returns what is printed, and what goes to stderr.
func (p *person) typed(command string, words ...string) (code int, out, errOut string) {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	code = plugin.Run(p.ctx, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &stdout, ErrOut: &stderr}, "test",
		p.line(command, words...))
	p.t.Logf("kubectl consul %s %v: exit code %d\n%s%s", command, words, code, p.hidden(stdout.String()), &stderr)
	return code, stdout.String(), stderr.String()
}

func (p *person) line(command string, words ...string) []string {
	p.t.Helper()
	p.allow(plugin.Rights(command))
	flags := []string{"--kubeconfig=" + p.Kubeconfig(), "--namespace=" + p.Key.Namespace, "--as=" + p.user()}
	return slices.Concat(flags, strings.Fields(command), words)
}

// hidden is what may be in the log of a test.
func (p *person) hidden(text string) string {
	return strings.ReplaceAll(text, p.managementToken(), "<token>")
}

// prints is what a command prints that succeeds. No command but `token` prints the token.
func (p *person) prints(command string, words ...string) string {
	p.t.Helper()
	code, out, errOut := p.typed(command, words...)
	p.Expect(code).To(Equal(done), errOut)
	if command != "token" {
		p.Expect(out+errOut).NotTo(ContainSubstring(p.managementToken()), command)
	}
	return out
}

func (p *person) printsTheToken() {
	p.t.Helper()
	p.Expect(p.prints("token", p.Key.Name)).To(Equal(p.managementToken() + "\n"))
}

// saves takes a snapshot, and looks at it.
func (p *person) saves() {
	p.t.Helper()
	p.Expect(p.prints("snapshot save", p.Key.Name, "--name=reached-first", "--verify=restore")).To(And(
		HavePrefix("ConsulSnapshot reached-first\n"), ContainSubstring("SavingSnapshot: "), MatchRegexp(`Done in [0-9ms]+\.`),
		ContainSubstring("by restoring it into another server")))
	p.Expect(p.prints("snapshot list", p.Key.Name)).To(MatchRegexp(
		`(?m)^NAME +CLUSTER +STATUS +VERIFIED +SIZE +INDEX +COMPLETED\nreached-first +reached +SnapshotSaved +Restore +`))
	p.Expect(p.prints("snapshot inspect", "reached-first")).To(ContainSubstring(p.snapshot("reached-first").Status.SHA256))
	taken := &v1alpha1.ConsulSnapshot{}
	p.Expect(json.Unmarshal([]byte(p.prints("snapshot inspect", "reached-first", "-o", "json")), taken)).To(Succeed())
	p.Expect(taken.Status.Object).To(Equal(p.snapshot("reached-first").Status.Object))
	p.Expect(p.prints("snapshot list", p.Key.Name, "-o", "yaml")).To(ContainSubstring("kind: ConsulSnapshotList\n"))

	code, _, errOut := p.typed("snapshot save", p.Key.Name, "--name=reached-first")
	p.Expect(code).To(Equal(failed))
	p.Expect(errOut).To(ContainSubstring("already exists"))
	code, _, errOut = p.typed("snapshot inspect", "reached-none")
	p.Expect(code).To(Equal(failed))
	p.Expect(errOut).To(ContainSubstring("there is no ConsulSnapshot reached-none"))
	code, out, _ := p.typed("snapshot save", p.Key.Name, "--name=reached-unwatched", "--no-wait")
	p.Expect(code).To(Equal(done))
	p.Expect(out).To(ContainSubstring("To watch: kubectl get consulsnapshot reached-unwatched -n default --watch"))
	unwatched := &v1alpha1.ConsulSnapshot{ObjectMeta: metav1.ObjectMeta{Name: "reached-unwatched", Namespace: p.Key.Namespace}}
	p.await(unwatched, 2*time.Minute)
}

var stamp = regexp.MustCompile(`(?m)^[* ] \S+ +(\d{4}-\d\d-\d\dT\S+)`)

// readsLogs reads those of all servers: they are in order, and tell who leads.
func (p *person) readsLogs() {
	p.t.Helper()
	all := p.prints("logs", p.Key.Name)
	p.Expect(all).To(MatchRegexp(`(?m)^\* ` + p.cluster().Status.Leader + ` .* cluster leadership acquired$`))
	for _, server := range p.servers() {
		p.Expect(all).To(ContainSubstring("  " + server + "  "))
		p.Expect(p.prints("logs", p.Key.Name, "--pod="+server)).NotTo(MatchRegexp(`(?m)^[* ] (?:` + p.others(server) + `) `))
	}
	last, stamps := time.Time{}, stamp.FindAllStringSubmatch(all, -1)
	p.Expect(len(stamps)).To(BeNumerically(">", 10))
	for _, found := range stamps {
		at, err := time.Parse("2006-01-02T15:04:05.000Z0700", found[1])
		p.Expect(err).NotTo(HaveOccurred())
		p.Expect(at).To(BeTemporally(">", last.Add(-time.Second)), "the order of time, in which an agent may be wrong by an instant")
		last = at
	}
	code, _, errOut := p.typed("logs", p.Key.Name, "--pod=reached-99")
	p.Expect(code).To(Equal(failed))
	p.Expect(errOut).To(ContainSubstring("there is no server reached-99; there are: " + strings.Join(p.servers(), ", ")))
	code, _, _ = p.typed("logs", p.Key.Name, "--since=1ms")
	p.Expect(code).To(Equal(wrongUsage))
}

// others is a regular expression for all servers but one.
func (p *person) others(server string) string {
	return strings.Join(slices.DeleteFunc(p.servers(), func(name string) bool { return name == server }), "|")
}

// followsLogs sees who leads next, and the server that takes the place of another one.
func (p *person) followsLogs() {
	p.t.Helper()
	ctx, stop := context.WithCancel(p.t.Context())
	defer stop()
	out, ended := gbytes.NewBuffer(), make(chan int, 1)
	line := p.line("logs", p.Key.Name, "--follow", "--tail=1")
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: gbytes.NewBuffer()}
	go func() { ended <- plugin.Run(ctx, streams, "test", line) }()
	former := p.cluster().Status.Leader
	p.Eventually(out, "10s").Should(gbytes.Say(former), "it has begun")
	p.patch(annotated(v1alpha1.AnnotationTransferLeadership, ""))
	p.until("another server leads", func(c *v1alpha1.ConsulCluster) bool {
		_, asked := c.Annotations[v1alpha1.AnnotationTransferLeadership]
		return !asked && c.Status.Leader != "" && c.Status.Leader != former
	})
	leader := p.cluster().Status.Leader
	p.Eventually(out, "10s").Should(gbytes.Say(`\* ` + leader + ` .* cluster leadership acquired`))

	goes := slices.DeleteFunc(p.servers(), func(name string) bool { return name == leader })[0]
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: goes, Namespace: p.Key.Namespace}}
	p.Expect(p.Client.Delete(p.t.Context(), claim)).To(Succeed())
	p.Eventually(out, "2m").Should(gbytes.Say(`  ` + resources.ServerName(p.Key.Name, 3) + `  `))
	p.within(2*time.Minute, "it takes the place", func(c *v1alpha1.ConsulCluster) bool {
		return len(c.Status.Servers) == 3 && remaining(c, []string{goes}) == 0
	})
	p.reach("as it should be", 2*time.Minute)
	stop()
	p.Eventually(ended, "10s").Should(Receive(Equal(interrupted)))
}

// restores goes back to the first snapshot, and undoes that with the command that it is told.
func (p *person) restores() {
	p.t.Helper()
	code, _, errOut := p.typed("snapshot restore", p.Key.Name, "reached-first")
	p.Expect(code).To(Equal(wrongUsage))
	p.Expect(errOut).To(ContainSubstring("nobody can be asked here: give --yes"))
	p.Expect(p.get("greeting")).To(Equal("new"))

	said := p.prints("snapshot restore", p.Key.Name, "reached-first", "--yes")
	p.Expect(said).To(And(ContainSubstring("All data is replaced: "), ContainSubstring("ConsulRestore reached-"),
		MatchRegexp(`Done in [0-9ms]+\.`)))
	p.Expect(p.get("greeting")).To(Equal("old"))
	undo := regexp.MustCompile(`kubectl consul snapshot restore reached (\S+) -n default\n`).FindStringSubmatch(said)
	p.Expect(undo).NotTo(BeNil())
	said = p.prints("snapshot restore", p.Key.Name, undo[1], "--yes", "--skip-snapshot")
	p.Expect(said).To(ContainSubstring("No snapshot of the present data is taken, as you ask"))
	p.Expect(p.get("greeting")).To(Equal("new"))
}

// mayNot is somebody who may look only.
func (p *person) mayNot() {
	p.t.Helper()
	line := p.line("token", p.Key.Name)
	p.allow(plugin.Rights("explain"))
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}
	p.Eventually(func() string {
		out.Reset()
		errOut.Reset()
		p.Expect(plugin.Run(p.ctx, streams, "test", line)).To(Or(Equal(failed), Equal(done)))
		return errOut.String()
	}, "10s").Should(ContainSubstring("you may not read Secret reached-bootstrap-acl-token in namespace default"))
	p.Expect(out.String()).To(BeEmpty())
}
