package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
)

func (s *story) pod(name string) *corev1.Pod {
	s.t.Helper()
	pod := &corev1.Pod{}
	s.Expect(s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.Key.Namespace, Name: name}, pod)).To(Succeed())
	return pod
}

// follower is a server that does not lead.
func (s *story) follower() string {
	s.t.Helper()
	servers := s.cluster().Status.Servers
	i := slices.IndexFunc(servers, func(server v1alpha1.ServerStatus) bool { return !server.Leader })
	s.Expect(i).To(BeNumerically(">=", 0), "there is a follower")
	return servers[i].Name
}

func condition(c *v1alpha1.ConsulCluster, kind, reason string) bool {
	found := apimeta.FindStatusCondition(c.Status.Conditions, kind)
	return found != nil && found.Status == "True" && found.Reason == reason
}

func TestScale(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "scaled", soonVoters)
	leader := s.cluster().Status.Leader
	s.Observer.AllowLeaderChanges(0)
	for _, replicas := range []int{5, 3, 1, 3} {
		s.Observer.SetWanted(replicas)
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"replicas": replicas}})
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(s.Client.SubResource("scale").Patch(t.Context(), s.cluster(),
			client.RawPatch(types.MergePatchType, patch))).To(Succeed())
		s.reach("scaled", 2*time.Minute)
		s.Expect(s.cluster().Status.Voters).To(BeNumerically("==", replicas))
	}
	s.leads(leader, "scaling needs no new leader")
	s.end(0)
}

func TestTransferOnRequest(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "transferred", func(*v1alpha1.ConsulClusterSpec) {})
	s.Observer.AllowLeaderChanges(2)
	before := s.servers()
	follower := s.follower()
	s.patch(annotated(v1alpha1.AnnotationTransferLeadership, follower))
	done := func(c *v1alpha1.ConsulCluster) bool {
		_, asked := c.Annotations[v1alpha1.AnnotationTransferLeadership]
		return !asked
	}
	s.until("the named server leads", done)
	s.until("the status says so", func(c *v1alpha1.ConsulCluster) bool {
		return c.Status.Leader == follower || !s.Undisturbed()
	})
	s.patch(annotated(v1alpha1.AnnotationTransferLeadership, ""))
	s.until("some other server leads", done)
	s.until("the status says so", func(c *v1alpha1.ConsulCluster) bool {
		return c.Status.Leader != "" && (c.Status.Leader != follower || !s.Undisturbed())
	})
	s.Expect(s.servers()).To(Equal(before))
	s.end(2)
}

func TestPauseAndDelete(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "paused", func(spec *v1alpha1.ConsulClusterSpec) { spec.Replicas = 1 })
	s.Observer.AllowLeaderChanges(0)
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Paused, c.Spec.Version = true, newest })
	s.until("it says that it is paused", func(c *v1alpha1.ConsulCluster) bool {
		found := apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
		return found.Reason == "Paused" && c.Status.ObservedGeneration == c.Generation
	})
	s.Consistently(s.servers, 3*time.Second).Should(HaveLen(1))
	s.end(0)

	s.Expect(s.Client.Delete(t.Context(), s.cluster())).To(Succeed())
	s.Eventually(func() int {
		return s.count(&corev1.PodList{}) + s.count(&corev1.PersistentVolumeClaimList{}) +
			s.count(&corev1.ServiceList{}) + s.count(&corev1.SecretList{})
	}, 2*time.Minute, 100*time.Millisecond).Should(BeZero(), "garbage collection takes everything")
}

func TestRetainedVolumes(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "retained", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Replicas, spec.Storage.Retention = 1, v1alpha1.RetentionRetain
	})
	s.Observer.AllowLeaderChanges(1)
	s.patch(toVersion(newest))
	s.reach("upgraded", 2*time.Minute)
	s.Expect(s.count(&corev1.PersistentVolumeClaimList{})).To(Equal(2), "the old server's volume is kept")
	s.end(1)
	s.Expect(s.Client.Delete(t.Context(), s.cluster())).To(Succeed())
	s.Eventually(func() int { return s.count(&corev1.PodList{}) }, 2*time.Minute, 100*time.Millisecond).Should(BeZero())
	s.Consistently(func() int { return s.count(&corev1.PersistentVolumeClaimList{}) }, 3*time.Second).Should(Equal(2))
	s.Expect(s.Client.DeleteAllOf(t.Context(), &corev1.PersistentVolumeClaim{}, client.InNamespace(s.Key.Namespace),
		client.MatchingLabels{v1alpha1.LabelCluster: s.Key.Name})).To(Succeed())
}

// The servers of a deleted cluster take a while to stop. New ones that joined them would never found a cluster of their
// own, and could even be given the old one's data.
func TestClusterOfTheSameNameIsANewOne(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "again", func(*v1alpha1.ConsulClusterSpec) {})
	s.Eventually(func() int { return s.Load.Result().All.Acknowledged }, time.Minute, 100*time.Millisecond).
		Should(BeNumerically(">", 0))
	s.end(0)
	former := s.cluster()
	again := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Name: former.Name, Namespace: former.Namespace}, Spec: former.Spec,
	}
	s.Expect(s.Client.Delete(t.Context(), former)).To(Succeed())
	s.Expect(s.Client.Create(t.Context(), again)).To(Succeed())
	s.reach("created anew", 2*time.Minute)                // the former servers may use all of their grace period
	access, err := s.Env.Scene(s.Key).Access(t.Context()) // it has an authority of its own
	s.Expect(err).NotTo(HaveOccurred())
	for _, server := range s.cluster().Status.Servers {
		agent, err := access.Agent(access.At(s.pod(server.Name).Status.PodIP), time.Minute)
		s.Expect(err).NotTo(HaveOccurred())
		keys, _, err := agent.KV().Keys("", "", nil)
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(keys).To(BeEmpty(), "no key of the former cluster is there")
	}
}

// A server deleted without a leave: its pod is killed and its claim is gone at the same time.
func TestDeadPeerIsPruned(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "pruned", soonVoters)
	s.Observer.SetFaults(true)
	victim := s.follower()
	claim := s.claim(victim)
	s.Expect(s.Destroy(t.Context(), victim)).To(Succeed())
	s.until("the server is gone", func(*v1alpha1.ConsulCluster) bool {
		err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(claim), claim)
		return apierrors.IsNotFound(err)
	})
	s.until("the stray is named", func(c *v1alpha1.ConsulCluster) bool {
		return slices.ContainsFunc(c.Status.Disagreements, func(d v1alpha1.Disagreement) bool {
			return d.Name == victim && strings.HasPrefix(d.Problem, "a voter in Raft") &&
				strings.HasSuffix(d.Problem, "no server of this cluster") && d.Action != ""
		})
	})
	s.until("another took its place", func(c *v1alpha1.ConsulCluster) bool {
		return slices.ContainsFunc(c.Status.Servers, func(server v1alpha1.ServerStatus) bool { return server.Name == "pruned-3" })
	})
	s.reach("healed", 2*time.Minute)
	healed := s.cluster().Status
	s.Expect(healed.Voters).To(BeNumerically("==", 3), "the dead peer was removed from Raft")
	s.Expect(healed.Disagreements).To(BeEmpty(), "and nobody knows it any more")
	s.Expect(healed.Servers).To(HaveEach(And(HaveField("Raft", v1alpha1.RaftVoter), HaveField("Serf", v1alpha1.SerfAlive),
		HaveField("Catalog", v1alpha1.CatalogRegistered))))
	s.end(0)
}

func TestBadSpecsNeverHurtAndAreTakenBack(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "mistaken", func(spec *v1alpha1.ConsulClusterSpec) {
		spec.GossipEncryption.Enabled, spec.TLS.Enabled, spec.ACLs.Enabled = new(false), new(false), new(false)
	})
	s.Observer.AllowLeaderChanges(0)
	cannotStart := func(c *v1alpha1.ConsulCluster) bool {
		return condition(c, v1alpha1.ConditionStalled, "ServerCannotStart") && condition(c, v1alpha1.ConditionAvailable, "Available")
	}

	s.patch(toVersion("9.9.9"))
	s.until("a version that does not exist is named", cannotStart)
	s.patch(toVersion(older))
	s.reach("taken back", 2*time.Minute)

	s.patch(func(c *v1alpha1.ConsulCluster) {
		config, err := v1alpha1.NewConfig(map[string]any{"encrypt": "nonsense"})
		s.Expect(err).NotTo(HaveOccurred())
		c.Spec.Config = config
	})
	s.until("a configuration that Consul refuses is named", cannotStart)
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Config = nil })
	s.reach("corrected", 2*time.Minute)

	s.patch(toVersion(oldest))
	s.until("a downgrade is refused", func(c *v1alpha1.ConsulCluster) bool {
		return condition(c, v1alpha1.ConditionStalled, string(reason.VersionDowngrade))
	})
	s.patch(toVersion(older))
	s.reach("taken back", 2*time.Minute)
	s.Expect(s.servers()).To(Equal([]string{"mistaken-0", "mistaken-1", "mistaken-2"}), "the running servers were left alone")
	s.end(0)
}

// Nothing happens in a cluster where nothing is to do (I5). It runs alone: other stories' calls are not its own. A
// cluster is not idle while autopilot doubts a server, as it does where a busy machine keeps a follower waiting for
// 200 ms; so one quiet window of three has to be there. An operator that polls has none.
func TestIdleClusterCostsNothing(t *testing.T) {
	longAlone(t) // each day TestIdleClusterCostsLessThanTwoCallsAMinute counts the calls
	s := begin(t, shared, "idle", func(*v1alpha1.ConsulClusterSpec) {})
	s.Load.Stop()
	s.Lock.Stop()
	costs := func(window time.Duration) ([]string, error) {
		s.reach("settled", 2*time.Minute)
		idle, err := s.Observer.WatchIdle(t.Context(), window)
		s.t.Logf("in %s writes %v, calls %v, %v", window, idle.Writes, idle.Calls, err)
		cost := idle.Writes
		for call, n := range idle.Calls {
			kubelet := call == "GET v1_status_leader" || call == "GET v1_catalog_service_"
			looksForSickVoters := call == "GET v1_operator_autopilot_health" && n <= 1 // in 30 s
			if n > 0 && !kubelet && !looksForSickVoters {
				cost = append(cost, fmt.Sprintf("%d times %s", n, call))
			}
		}
		return cost, err
	}
	s.Eventually(costs).WithArguments(time.Second).WithTimeout(2*time.Minute).Should(BeEmpty(), "what the creation took is over")
	cost, err := costs(30 * time.Second)
	for tries := 1; tries < 3 && (err != nil || len(cost) > 0); tries++ {
		cost, err = costs(30 * time.Second)
	}
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(cost).To(BeEmpty(), "%s, and no Consul call is made but for probes and autopilot's verdicts", invariant.I5)
}

// A server that holds its connections and answers nothing costs its own cluster a pause, and its neighbor nothing.
func TestHungServerHoldsUpNobodyElse(t *testing.T) {
	long(t)
	s := begin(t, shared, "hung", soonVoters)
	s.Observer.SetFaults(true)
	s.Observer.AllowLeaderChanges(-1)
	follower := s.follower()
	process, runs := s.Process(t.Context(), follower)
	s.Expect(runs).To(BeTrue())
	s.Expect(process.Signal(syscall.SIGSTOP)).To(Succeed())
	resume := sync.OnceFunc(func() { _ = process.Signal(syscall.SIGCONT) })
	t.Cleanup(resume)
	s.patch(toVersion(newest))
	s.until("the upgrade waits for the hung server", func(c *v1alpha1.ConsulCluster) bool {
		ready := apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
		return c.Status.ObservedGeneration == c.Generation && strings.Contains(ready.Message, follower)
	})

	neighbor := begin(t, shared, "neighbor", func(spec *v1alpha1.ConsulClusterSpec) { spec.Replicas = 1 })
	neighbor.Observer.AllowLeaderChanges(1)
	neighbor.patch(toVersion(newest))
	neighbor.reach("upgraded beside a hung server", 2*time.Minute)
	neighbor.end(1)

	resume()
	s.reach("upgraded after all", 6*time.Minute)
	s.Expect(s.cluster().Status.Version).To(Equal(newest))
	s.Expect(s.cluster().Status.Voters).To(BeNumerically("==", 3))
}
