package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plugin"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

// The exit codes of `kubectl consul`, as its help has them.
const (
	done        = 0
	failed      = 1
	needsPerson = 3
	outOfTime   = 4
	interrupted = 130
)

// A person steers a cluster with `kubectl consul` only, under load, with the rights that the reference names for each command and
// no others.
func TestKubectlConsul(t *testing.T) {
	long(t)
	s := begin(t, shared, "plugged", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge = 3
	})
	p := &person{story: s, ctx: t.Context()}
	p.expect(done, "explain").To(ContainSubstring("plugged in namespace default: Healthy"))
	p.expect(failed, "scale", "4").To(ContainSubstring("replicas must be odd"))
	p.expect(failed, "upgrade", "1.22").To(ContainSubstring("must be a full version"))
	p.expect(failed, "upgrade", "1.19.2", "--dry-run").To(ContainSubstring("is a downgrade"))
	p.expect(failed, "transfer", "plugged-99").To(
		ContainSubstring("has no server plugged-99; it has plugged-0, plugged-1, plugged-2"))
	p.expect(done, "pause").To(ContainSubstring("plugged is paused"))
	p.expect(failed, "restart").To(ContainSubstring("is paused, so nothing would happen"))
	p.expect(done, "resume").To(ContainSubstring("plugged is not paused"))

	p.expect(done, "upgrade", newest, "--dry-run").To(ContainSubstring("Consul " + older + " to " + newest))
	s.Expect(s.cluster().Spec.Version).To(Equal(older), "it was shown only")
	p.expect(done, "upgrade", newest, "--yes").To(And(
		ContainSubstring("WaitingForVoter: "), ContainSubstring("Leaving: "), MatchRegexp(`Done in [0-9ms]+\.`)))
	p.expect(done, "status").To(And(ContainSubstring(newest), MatchRegexp(`(?m)^plugged-\d+ +Serving +leader +`+newest)))
	s.end(1)
	p.showsObjects()

	leader := s.cluster().Status.Leader
	p.expect(done, "transfer").To(ContainSubstring(" leads\n"))
	s.Expect(s.cluster().Status.Leader).NotTo(Equal(leader))
	p.breaksAndMends()
	p.rotates()
	p.replaces()
	p.stopsWatching()
}

// person runs commands.
type person struct {
	*story
	ctx context.Context
}

// run runs a command as a user who has the rights that it names and no others, and returns the exit code and all that it prints.
func (p *person) run(command string, args ...string) (code int, said string) {
	p.t.Helper()
	p.allow(plugin.Rights(command))
	var out bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out}
	line := strings.Fields(command)
	if command != "version" {
		line = append(line, p.Key.Name)
	}
	line = append(line, args...)
	line = append(line, "--kubeconfig="+p.Kubeconfig(), "--namespace="+p.Key.Namespace, "--as="+p.user())
	code = plugin.Run(p.ctx, streams, "test", line)
	p.t.Logf("kubectl consul %s %s %v: exit code %d\n%s", command, p.Key.Name, args, code, &out)
	return code, out.String()
}

// expect runs a command that ends with this exit code, and is about what it prints.
func (p *person) expect(code int, command string, args ...string) Assertion {
	p.t.Helper()
	ended, said := p.run(command, args...)
	p.Expect(ended).To(Equal(code), said)
	return p.Expect(said)
}

// user is somebody else in each story: rights come and go.
func (p *person) user() string { return "person-of-" + p.Key.Name }

// allow gives the user these rights and no others.
func (p *person) allow(rights []plugin.Right) {
	p.t.Helper()
	name := "kubectl-consul-" + p.user()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, right := range rights {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{
			APIGroups: []string{right.Group}, Resources: []string{right.Resource}, Verbs: right.Verbs,
		})
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: p.user()}},
	}
	for _, o := range []client.Object{role, binding} {
		err := p.Client.Create(p.t.Context(), o)
		if apierrors.IsAlreadyExists(err) {
			err = p.Client.Update(p.t.Context(), o)
		}
		p.Expect(err).NotTo(HaveOccurred())
	}
}

// showsObjects reads what other programs read.
func (p *person) showsObjects() {
	p.t.Helper()
	code, said := p.run("status", "-o", "json")
	p.Expect(code).To(Equal(done))
	c := &v1alpha1.ConsulCluster{}
	p.Expect(json.Unmarshal([]byte(said), c)).To(Succeed())
	p.Expect(c.Status.Version).To(Equal(newest))
	p.expect(done, "status", "-o", "yaml").To(ContainSubstring("kind: ConsulCluster\n"))
	p.expect(done, "status", "-o", "wide").To(ContainSubstring("CATALOG"))
	p.expect(done, "version").To(ContainSubstring("Consul " + newest))
}

// breaksAndMends upgrades to a version that there is none of: what the person is told to do is true.
func (p *person) breaksAndMends() {
	p.t.Helper()
	before := p.processes()
	p.expect(needsPerson, "upgrade", "1.22.99", "--yes").To(And(
		ContainSubstring("the upgrade needs you: "), ContainSubstring("kubectl consul explain "+p.Key.Name)))
	p.expect(needsPerson, "explain").To(And(
		ContainSubstring("ServerCannotStart"), ContainSubstring("correct version, image or config")))
	p.expect(done, "upgrade", newest, "--yes").To(ContainSubstring("Done in "))
	p.Expect(p.processes()).To(Equal(before), invariant.I6.String())
}

// rotates replaces what can be rotated in minutes.
func (p *person) rotates() {
	p.t.Helper()
	before := p.processes()
	p.expect(done, "rotate", "gossip-key").To(ContainSubstring("RotatingGossipKey: "))
	p.expect(done, "rotate", "tokens").To(ContainSubstring("RotatingTokens: "))
	p.Expect(p.processes()).To(Equal(before), invariant.I6.String())
}

// replaces has another server take the place of one.
func (p *person) replaces() {
	p.t.Helper()
	servers := slices.Sorted(maps.Keys(p.processes()))
	p.expect(done, "replace", servers[0]).To(ContainSubstring("Done in "))
	p.Expect(p.processes()).To(And(HaveLen(3), Not(HaveKey(servers[0]))))
}

// stopsWatching has a restart go on after nobody watches it any more.
func (p *person) stopsWatching() {
	p.t.Helper()
	before := p.processes()
	p.expect(outOfTime, "restart", "--timeout=1s").To(
		ContainSubstring("The restart goes on. To watch: kubectl consul status plugged"))
	watching, stop := context.WithCancel(p.t.Context())
	p.ctx = watching
	time.AfterFunc(2*time.Second, stop)
	p.expect(interrupted, "status", "--watch").To(ContainSubstring("plugged in namespace default: "))
	p.ctx = p.t.Context()
	p.reach("restarted", 4*time.Minute)
	for server := range before {
		p.Expect(p.processes()).NotTo(HaveKey(server))
	}
}
