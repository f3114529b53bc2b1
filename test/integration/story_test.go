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
	"github.com/consul-operator/consul-operator/test/harness"
	"github.com/consul-operator/consul-operator/test/load"
	"github.com/consul-operator/consul-operator/test/observer"
)

// Versions that the tests go between.
const (
	oldest = "1.19.2"
	older  = "1.22.0"
	newest = "1.22.7"
)

// shared is the environment of all stories that do not disturb their neighbours.
var shared *harness.Env

// together is how many stories run at a time. They wait far more than they work; two cores bear three of them.
const together = "3"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := flag.Set("test.parallel", together); err != nil {
		panic(err)
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

func say(line string) { fmt.Printf("    %s\n", line) }

// story is one ConsulCluster, its load and its observer.
type story struct {
	*WithT
	t        *testing.T
	env      *harness.Env
	key      client.ObjectKey
	load     *load.Load
	lock     *load.Lock
	observer *observer.Observer
	// ownDoing is part of the message of violations that the story itself commits.
	ownDoing string
}

// begin creates a cluster of this name, waits until it is Ready, and puts it under load and observation.
func begin(t *testing.T, env *harness.Env, name string, change func(*v1alpha1.ConsulClusterSpec)) *story {
	t.Helper()
	s := &story{WithT: NewWithT(t), t: t, env: env, key: client.ObjectKey{Namespace: "default", Name: name}}
	c := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: s.key.Name, Namespace: s.key.Namespace},
		Spec: v1alpha1.ConsulClusterSpec{
			Version: older,
			Storage: v1alpha1.Storage{Size: resource.MustParse("1Gi")},
			Update:  v1alpha1.Update{LeaderStableFor: &metav1.Duration{Duration: 10 * time.Second}},
		},
	}
	change(&c.Spec)
	s.Expect(env.Client.Create(t.Context(), c)).To(Succeed())
	t.Cleanup(func() {
		_ = env.Client.Delete(context.Background(), c) // a story may have deleted it itself
	})
	s.reach("created", 2*time.Minute)
	var err error
	wanted := int(s.cluster().Spec.Replicas)
	s.observer, err = observer.Start(context.Background(), env.Config, s.key, observer.Options{Wanted: wanted})
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(s.observer.Stop)
	endpoints, err := load.WatchService(t.Context(), env.Config, s.key.Namespace, s.key.Name, "http")
	s.Expect(err).NotTo(HaveOccurred())
	s.load = load.Start(context.Background(), endpoints, load.Options{Writers: 2, Rate: 100})
	t.Cleanup(func() { s.load.Stop() })
	s.lock, err = load.TakeLock(t.Context(), endpoints, name)
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(s.lock.Stop)
	return s
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
	s.Expect(s.env.WaitReady(s.t.Context(), s.key, limit, progress)).To(Succeed(), what)
}

// until waits two minutes at most for a condition of the cluster.
func (s *story) until(what string, done func(*v1alpha1.ConsulCluster) bool) {
	s.t.Helper()
	progress := func(said string) { s.t.Logf("       %s", said) }
	s.Expect(s.env.WaitFor(s.t.Context(), s.key, 2*time.Minute, progress, done)).To(Succeed(), what)
}

// patch changes the cluster as a user does.
func (s *story) patch(change func(*v1alpha1.ConsulCluster)) {
	s.t.Helper()
	s.Expect(s.env.Patch(s.t.Context(), s.key, change)).To(Succeed())
}

func (s *story) cluster() *v1alpha1.ConsulCluster {
	s.t.Helper()
	c := &v1alpha1.ConsulCluster{}
	s.Expect(s.env.Client.Get(s.t.Context(), s.key, c)).To(Succeed())
	return c
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
	s.Expect(s.env.Client.List(s.t.Context(), list, client.InNamespace(s.key.Namespace),
		client.MatchingLabels{v1alpha1.LabelCluster: s.key.Name})).To(Succeed())
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
	result := s.verify()
	s.observer.Stop()
	timeline := s.observer.Timeline()
	s.t.Logf("%d of %d writes failed %v, longest gap %s, %d leader changes, fewest voters %d", result.All.Failed,
		result.All.Attempts(), result.All.Classes, result.All.Gap.Length().Round(time.Millisecond),
		timeline.LeaderChanges, timeline.FewestVoters)
	s.t.Logf("a fault was in effect for %s of %s; the machine stood still %s", timeline.Disturbed.Round(time.Millisecond),
		timeline.End.Sub(timeline.Start).Round(time.Second), timeline.Stalls)
	for _, violation := range timeline.Violations {
		if s.ownDoing == "" || !strings.Contains(violation.Message, s.ownDoing) {
			t := violation.At.Format(time.TimeOnly)
			s.t.Errorf("%s %s", t, violation)
		}
	}
	s.Expect(timeline.HandedOver(handovers)).To(Succeed(), "I3: planned changes of leadership")
}

// undisturbed says whether nobody was elected because the machine stood still.
func (s *story) undisturbed() bool { return !s.observer.Timeline().DisturbedLeadership() }

// leads asserts who leads, unless somebody was elected because the machine stood still.
func (s *story) leads(server, why string) {
	s.t.Helper()
	if s.undisturbed() {
		s.Expect(s.cluster().Status.Leader).To(Equal(server), why)
	}
}

// verify stops the load and asserts that nothing is lost that was acknowledged (I8), no application's lock either, unless
// it could not be renewed in time while the machine stood still.
func (s *story) verify() load.Result {
	s.t.Helper()
	result := s.load.Stop()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	verification, err := s.load.Verify(ctx)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(verification.Lost).To(BeEmpty(), "I8: an acknowledged write is never lost")
	lost := s.lock.Check(ctx)
	if s.observer.Timeline().Disturbed < load.LockTTL || !load.Unrenewed(lost) {
		s.Expect(lost).To(Succeed(), "I8: a lock stays with the application that holds it")
	}
	s.Expect(result.All.Acknowledged).To(BeNumerically(">", 0))
	return result
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
