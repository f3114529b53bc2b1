package integration

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

func TestUpgrade(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		replicas, surge int32
		from            string
		secured         bool // which is the default
	}{
		"one-voter":              {replicas: 1, surge: 1, from: older},
		"three-servers-surge-1":  {replicas: 3, surge: 1, from: older},
		"five-servers-surge-3":   {replicas: 5, surge: 3, from: older, secured: true},
		"three-from-old-surge-3": {replicas: 3, surge: 3, from: oldest, secured: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, shared, name, func(spec *v1alpha1.ConsulClusterSpec) {
				spec.Replicas, spec.Update.MaxSurge, spec.Version = test.replicas, test.surge, test.from
				spec.GossipEncryption.Enabled, spec.TLS.Enabled, spec.ACLs.Enabled = &test.secured, &test.secured, &test.secured
			})
			before := s.cluster().Status.Leader
			s.Observer.AllowLeaderChanges(1)
			s.patch(toVersion(newest))
			s.reach("upgraded", 6*time.Minute)
			status := s.cluster().Status
			s.Expect(status.Version).To(Equal(newest))
			s.Expect(status.Voters).To(Equal(test.replicas))
			if test.secured {
				s.expectEncryptedGossip()
			}
			if test.from != oldest && s.Undisturbed() {
				// Consul 1.19 keeps appending writes while it hands over: its successor may miss the last one and lose
				// the vote, and seconds later another server leads, which may have to hand over in its turn.
				s.Expect(status.LastHandoff).To(HaveValue(And(HaveField("From", before), HaveField("To", status.Leader))))
			}
			s.end(1)
		})
	}
}

// Servers of Consul 1.19 cannot read the log of a leader of 1.22, and without their votes nothing can be written: they get the
// new version on their volumes. It happens where leadership moves in the middle of an upgrade, whoever moves it, and where there
// are only the old server and its successor.
func TestServersThatCannotFollowANewLeader(t *testing.T) {
	for name, replicas := range map[string]int32{"unread-of-three": 3, "unread-of-one": 1} {
		t.Run(name, func(t *testing.T) {
			long(t)
			s := begin(t, shared, name, func(spec *v1alpha1.ConsulClusterSpec) {
				soonVoters(spec)
				spec.Version, spec.Replicas = oldest, replicas
			})
			// A restarted server takes leave. Nobody can remove it from Raft at that time, and when somebody can, it is back.
			s.ownDoing = "was removed from Raft while its member was alive"
			s.Observer.SetFaults(true)
			s.patch(toVersion(newest))
			if replicas > 1 {
				s.muteLeader(s.moveLeadershipTo(newest))
			}
			s.reach("upgraded", 6*time.Minute)
			s.Observer.SetFaults(false)
			s.Expect(s.cluster().Status.Version).To(Equal(newest))
			seen := s.verify()
			t.Logf("longest gap %s", seen.Load.All.Gap.Length().Round(time.Millisecond))
			s.expectNoViolation(seen.Timeline)
		})
	}
}

// moveLeadershipTo waits for a server of a version that has a vote, and makes it the leader, past the operator.
func (s *story) moveLeadershipTo(version string) v1alpha1.ServerStatus {
	s.t.Helper()
	var successor v1alpha1.ServerStatus
	s.until("a new server has a vote", func(c *v1alpha1.ConsulCluster) bool {
		i := slices.IndexFunc(c.Status.Servers, func(server v1alpha1.ServerStatus) bool {
			return server.Version == version && server.Raft == v1alpha1.RaftVoter
		})
		if i >= 0 {
			successor = c.Status.Servers[i]
		}
		return i >= 0
	})
	s.Eventually(func(g Gomega) { // Consul 1.19 may lose a handover under load
		i := slices.IndexFunc(s.cluster().Status.Servers, s.saysThatItLeads)
		g.Expect(i).To(BeNumerically(">=", 0), "nobody leads")
		leader := s.cluster().Status.Servers[i]
		g.Expect(s.agent(leader.Address).TransferLeadership(s.t.Context(), successor.ID)).To(Succeed())
		g.Eventually(func() bool { return s.saysThatItLeads(successor) }, 5*time.Second, 10*time.Millisecond).Should(BeTrue())
	}, time.Minute, time.Second).Should(Succeed())
	return successor
}

func (s *story) saysThatItLeads(server v1alpha1.ServerStatus) bool {
	self, err := s.agent(server.Address).Self(s.t.Context())
	return err == nil && self.Leads
}

// muteLeader has the agent of a leader that can commit nothing register a service. It holds the lock of its local state until
// that is done, and has no answer to agent/self. An agent that has something to register on its own may do the same.
func (s *story) muteLeader(leader v1alpha1.ServerStatus) {
	s.t.Helper()
	access, err := s.Access(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	agent, err := access.Agent(access.At(leader.Address), time.Minute)
	s.Expect(err).NotTo(HaveOccurred())
	go func() { _ = agent.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "anything"}) }()
	s.Eventually(func() error {
		_, err := s.agent(leader.Address).Self(s.t.Context())
		return err
	}, 10*time.Second, 10*time.Millisecond).Should(MatchError(consul.ErrUnanswered))
}

func TestRollbackInTheMiddle(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "rollback", soonVoters)
	leader, before := s.cluster().Status.Leader, s.servers()
	s.Observer.AllowLeaderChanges(0)
	s.patch(toVersion(newest))
	s.until("one old server is gone", func(c *v1alpha1.ConsulCluster) bool { return remaining(c, before) == 2 })
	s.patch(toVersion(older))
	s.reach("rolled back", 2*time.Minute)
	status := s.cluster().Status
	s.Expect(status.Version).To(Equal(older))
	s.leads(leader, "the leader was never outdated, so it keeps leading")
	s.end(0)
}

func TestChangedConfigAndPodTemplate(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "changed", func(spec *v1alpha1.ConsulClusterSpec) { spec.Replicas, spec.Update.MaxSurge = 1, 1 })
	s.Observer.AllowLeaderChanges(1)
	s.patch(func(c *v1alpha1.ConsulCluster) {
		config, err := v1alpha1.NewConfig(map[string]any{"log_level": "DEBUG", "default_query_time": "200s"})
		s.Expect(err).NotTo(HaveOccurred())
		c.Spec.Config = config
		c.Spec.PodTemplate.Metadata.Labels = map[string]string{"team": "blue"}
	})
	s.reach("changed", 2*time.Minute)
	s.end(1)
	s.Expect(s.pod(s.servers()[0]).Labels).To(HaveKeyWithValue("team", "blue"))
}

// What Consul can change while it runs replaces no server and restarts none.
func TestSettingsAreReadAgain(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "reloaded", soonVoters)
	s.Observer.AllowLeaderChanges(0)
	before := map[string]types.UID{}
	for _, server := range s.servers() {
		before[server] = s.pod(server).UID
	}
	s.patch(func(c *v1alpha1.ConsulCluster) {
		config, err := v1alpha1.NewConfig(map[string]any{"log_level": "DEBUG", "node_meta": map[string]any{"room": "blue"}})
		s.Expect(err).NotTo(HaveOccurred())
		c.Spec.Config = config
	})
	s.until("the status says how it goes", func(c *v1alpha1.ConsulCluster) bool {
		return reasonOf(c, v1alpha1.ConditionReady) == string(reason.ReloadingSettings)
	})
	s.reach("read again", 2*time.Minute)
	for server, uid := range before {
		pod := s.pod(server)
		s.Expect(pod.UID).To(Equal(uid), "%s was not replaced", server)
		s.Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeZero(), "nor restarted")
		s.Expect(s.NodeMeta(t.Context(), pod.Status.PodIP)).To(HaveKeyWithValue("room", "blue"))
	}
	s.end(0)
}

func reasonOf(c *v1alpha1.ConsulCluster, kind string) string {
	if found := apimeta.FindStatusCondition(c.Status.Conditions, kind); found != nil {
		return found.Reason
	}
	return ""
}

func TestRestartOnRequest(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "restarted", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge = 3
	})
	before := s.servers()
	s.Observer.AllowLeaderChanges(1)
	s.patch(annotated(v1alpha1.AnnotationRestartedAt, "2026-01-01T00:00:00Z"))
	s.until("all servers are new ones", func(c *v1alpha1.ConsulCluster) bool { return remaining(c, before) == 0 })
	s.reach("restarted", 2*time.Minute)
	s.end(1)
}

// The operator dies ten times while it upgrades, at moments that differ from run to run.
func TestUpgradeSurvivesTheOperatorsDeath(t *testing.T) {
	t.Parallel()
	env, err := harness.Start(t.Context(), harness.Options{Name: "deaths"})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = env.Stop() })
	s := begin(t, env, "deaths", func(*v1alpha1.ConsulClusterSpec) {})
	s.Observer.AllowLeaderChanges(1)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // moments, not secrets
	s.patch(toVersion(newest))
	for range 10 {
		moment := time.NewTimer(time.Duration(random.Int64N(int64(8 * time.Second))))
		<-moment.C
		env.KillOperator()
		s.Expect(env.StartOperator()).To(Succeed())
	}
	s.reach("upgraded", 6*time.Minute)
	s.Expect(s.cluster().Status.Version).To(Equal(newest))
	s.end(1)
}

// Servers are updated on the volumes they have. With three of them two voters are left meanwhile, never fewer.
func TestUpgradeInPlace(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "in-place", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.Type = v1alpha1.UpdateInPlace
	})
	before := s.volumes()
	s.Observer.SetWanted(2)
	s.Observer.AllowLeaderChanges(1)
	s.patch(toVersion(newest))
	s.reach("upgraded in place", 6*time.Minute)
	status := s.cluster().Status
	s.Expect(status.Version).To(Equal(newest))
	s.Expect(status.Voters).To(BeNumerically("==", 3))
	s.Expect(s.volumes()).To(Equal(before), "the same servers on the same volumes")
	s.end(1)
	s.Expect(s.Observer.Timeline().FewestVoters).To(Equal(2), "one server at a time is away")
}

// A single server has nobody to hand over to: it is restarted on its volume, and keeps what it has acknowledged.
func TestUpgradeOfTheOnlyServerInPlace(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "only", func(spec *v1alpha1.ConsulClusterSpec) {
		spec.Replicas, spec.Update.Type = 1, v1alpha1.UpdateInPlace
	})
	before := s.volumes()
	s.ownDoing = "0 of 1 voters (only-0) answer"
	s.patch(toVersion(newest))
	s.reach("upgraded in place", 2*time.Minute)
	s.Expect(s.cluster().Status.Version).To(Equal(newest))
	s.Expect(s.volumes()).To(Equal(before), "the same server on the same volume")
	s.end(1)
}

// The first server of a version that cannot start is as far as an update in place goes: the others serve on, and the
// correction rolls out by itself.
func TestBadVersionInPlaceStopsAtTheFirstServer(t *testing.T) {
	long(t)
	s := begin(t, shared, "halted", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.Type = v1alpha1.UpdateInPlace
	})
	before := s.volumes()
	s.Observer.SetWanted(2)
	s.Observer.AllowLeaderChanges(1)
	s.patch(toVersion("9.9.9"))
	s.until("the version is named, and the others serve", func(c *v1alpha1.ConsulCluster) bool {
		return condition(c, v1alpha1.ConditionStalled, "ServerCannotStart") && c.Status.ReadyReplicas == 2
	})
	s.patch(toVersion(newest))
	s.reach("corrected", 6*time.Minute)
	s.Expect(s.cluster().Status.Version).To(Equal(newest))
	s.Expect(s.volumes()).To(Equal(before), "the same servers on the same volumes")
	s.end(1)
}

// volumes are the UIDs of the servers' claims, by name.
func (s *story) volumes() map[string]types.UID {
	s.t.Helper()
	var claims corev1.PersistentVolumeClaimList
	s.Expect(s.Client.List(s.t.Context(), &claims, client.InNamespace(s.Key.Namespace),
		client.MatchingLabels{v1alpha1.LabelCluster: s.Key.Name})).To(Succeed())
	volumes := map[string]types.UID{}
	for _, claim := range claims.Items {
		volumes[claim.Name] = claim.UID
	}
	return volumes
}
