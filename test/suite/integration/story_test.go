// Package integration tests the operator's binary against a real API server and real Consul, under load and with an
// observer beside it that asserts the invariants all the time.
package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/netns"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

// Versions that the tests go between.
const (
	oldest = "1.19.2"
	older  = "1.22.0"
	newest = "1.22.7"
)

// shared is the environment of all stories that do not disturb their neighbors.
var shared *harness.Env

// together is how many stories run at a time. They wait more than they work; two cores bear five of them, since each has TLS and
// ACLs, if clients write 50 times a second to each. With 100 a step of the operator sometimes took seconds.
const together = "5"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := flag.Set("test.parallel", together); err != nil {
		panic(err)
	}
	if netns.Inside() { // one test, which starts what it needs
		return m.Run()
	}
	env, err := harness.Start(context.Background(), harness.Options{Name: "integration", Progress: say})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = env
	defer env.Stop() //nolint:errcheck // nothing is left to do about it
	return m.Run()
}

// long marks a story that takes minutes: make test leaves it to make test-all.
func long(t *testing.T) {
	t.Helper()
	longAlone(t)
	t.Parallel()
}

// longAlone marks one that is told alone.
func longAlone(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes long: make test-all and make test-stories tell it")
	}
}

func say(line string) { fmt.Printf("    %s\n", line) }

// story is one ConsulCluster, its load and its observer.
type story struct {
	*WithT
	*harness.Scene
	t *testing.T
	// ownDoing is part of the message of violations that the story itself commits.
	ownDoing string
}

// begin creates a cluster of this name, waits until it is Ready, and puts it under load and observation.
func begin(t *testing.T, env *harness.Env, name string, change func(*v1alpha1.ConsulClusterSpec)) *story {
	t.Helper()
	key := client.ObjectKey{Namespace: "default", Name: name}
	s := &story{WithT: NewWithT(t), Scene: env.Scene(key), t: t}
	c := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: key.Name, Namespace: key.Namespace},
		Spec: v1alpha1.ConsulClusterSpec{
			Version: older,
			Storage: v1alpha1.Storage{Size: resource.MustParse("1Gi")},
			Update:  v1alpha1.Update{LeaderStableFor: &metav1.Duration{Duration: 10 * time.Second}},
		},
	}
	change(&c.Spec)
	s.Expect(s.Create(t.Context(), c)).To(Succeed())
	t.Cleanup(func() {
		_ = env.Client.Delete(context.Background(), c) // a story may have deleted it itself
	})
	s.reach("created", 2*time.Minute)
	t.Cleanup(func() { _ = s.Close() })
	s.Expect(s.Observe(t.Context(), int(s.cluster().Spec.Replicas))).To(Succeed())
	s.Expect(s.StartClients(t.Context(), harness.Clients{Options: load.Options{Writers: 2, Rate: 50}})).To(Succeed())
	return s
}

// agent is the agent at an address, as the operator calls it.
func (s *story) agent(ip string) consul.Agent {
	s.t.Helper()
	access, err := s.Access(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	target := consul.Target{Scheme: access.Scheme(), Address: access.At(ip), Token: access.Token.Get()}
	if access.TLS != nil {
		target.TLS = consul.NewTLS(access.TLS)
	}
	return consul.NewDialer(0)(target)
}

// soonVoters gives new servers a vote within 10 s instead of 20. For stories in which these seconds are only waited for.
func soonVoters(spec *v1alpha1.ConsulClusterSpec) {
	spec.Config = &v1alpha1.Config{Raw: []byte(`{"autopilot": {"server_stabilization_time": "1s"}}`)}
}

// reach waits until the newest spec is reached, and tells the way there.
func (s *story) reach(what string, limit time.Duration) {
	s.t.Helper()
	start := time.Now()
	progress := func(said string) { s.t.Logf("%5.1fs %s", time.Since(start).Seconds(), said) }
	s.Expect(s.WaitReady(s.t.Context(), limit, progress)).To(Succeed(), what)
}

// until waits two minutes at most for a condition of the cluster.
func (s *story) until(what string, done func(*v1alpha1.ConsulCluster) bool) {
	s.t.Helper()
	s.within(2*time.Minute, what, done)
}

// within waits for a condition of the cluster.
func (s *story) within(limit time.Duration, what string, done func(*v1alpha1.ConsulCluster) bool) {
	s.t.Helper()
	progress := func(said string) { s.t.Logf("       %s", said) }
	s.Expect(s.WaitFor(s.t.Context(), limit, progress, done)).To(Succeed(), what)
}

// patch changes the cluster as a user does.
func (s *story) patch(change func(*v1alpha1.ConsulCluster)) {
	s.t.Helper()
	s.Expect(s.Patch(s.t.Context(), change)).To(Succeed())
}

func (s *story) cluster() *v1alpha1.ConsulCluster {
	s.t.Helper()
	c, err := s.Get(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	return c
}

func (s *story) secret(name string) *corev1.Secret {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.Expect(s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.Key.Namespace, Name: name}, secret)).To(Succeed())
	return secret
}

// servers are the names of the servers, by the operator's word.
func (s *story) servers() []string {
	s.t.Helper()
	var names []string
	for _, server := range s.cluster().Status.Servers {
		names = append(names, server.Name)
	}
	return names
}

// remaining is how many of these servers the cluster still has.
func remaining(c *v1alpha1.ConsulCluster, servers []string) int {
	n := 0
	for _, server := range c.Status.Servers {
		if slices.Contains(servers, server.Name) {
			n++
		}
	}
	return n
}

// count is the number of objects of a kind that belong to the cluster.
func (s *story) count(list client.ObjectList) int {
	s.t.Helper()
	s.Expect(s.Client.List(s.t.Context(), list, client.InNamespace(s.Key.Namespace),
		client.MatchingLabels{v1alpha1.LabelCluster: s.Key.Name})).To(Succeed())
	switch l := list.(type) {
	case *corev1.PodList:
		return len(l.Items)
	case *corev1.PersistentVolumeClaimList:
		return len(l.Items)
	case *corev1.ServiceList:
		return len(l.Items)
	case *corev1.SecretList:
		return len(l.Items)
	}
	s.t.Fatalf("%T is not counted", list)
	return 0
}

// end stops the load and asserts what has to hold in every story: no invariant was broken (I1 to I4), no acknowledged
// write was lost (I8), and leadership was handed over as often as it should be.
func (s *story) end(handovers int) {
	s.t.Helper()
	seen := s.verify()
	timeline, all := seen.Timeline, seen.Load.All
	s.t.Logf("%d of %d writes failed %v, longest gap %s, %d leader changes, fewest voters %d", all.Failed, all.Attempts(),
		all.Classes, all.Gap.Length().Round(time.Millisecond), timeline.LeaderChanges, timeline.FewestVoters)
	s.t.Logf("a fault was in effect for %s of %s; the machine stood still %s", timeline.Disturbed.Round(time.Millisecond),
		timeline.End.Sub(timeline.Start).Round(time.Second), timeline.Stalls)
	s.expectNoViolation(timeline)
	s.Expect(timeline.HandedOver(handovers)).To(Succeed(), invariant.I3.String())
}

func (s *story) expectNoViolation(timeline observer.Timeline) {
	s.t.Helper()
	for _, violation := range timeline.Violations {
		if s.ownDoing == "" || !strings.Contains(violation.Message, s.ownDoing) {
			t := violation.At.Format(time.TimeOnly)
			s.t.Errorf("%s %s", t, violation)
		}
	}
}

// leads asserts who leads, unless leadership changed while a fault was in effect.
func (s *story) leads(server, why string) {
	s.t.Helper()
	if s.Undisturbed() {
		s.Expect(s.cluster().Status.Leader).To(Equal(server), why)
	}
}

// verify ends the scene and asserts that nothing is lost that was acknowledged (I8), no application's lock either, unless it
// could not be renewed in time because of faults.
func (s *story) verify() harness.Outcome {
	s.t.Helper()
	seen, err := s.End(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(seen.Verified.Lost).To(BeEmpty(), invariant.I8.String())
	s.Expect(seen.LockBroken()).To(Succeed(), "a lock stays with the application that holds it")
	s.Expect(seen.Load.All.Acknowledged).To(BeNumerically(">", 0))
	return seen
}

func toVersion(version string) func(*v1alpha1.ConsulCluster) {
	return func(c *v1alpha1.ConsulCluster) { c.Spec.Version = version }
}

func annotated(key, value string) func(*v1alpha1.ConsulCluster) {
	return func(c *v1alpha1.ConsulCluster) {
		if c.Annotations == nil {
			c.Annotations = map[string]string{}
		}
		c.Annotations[key] = value
	}
}
