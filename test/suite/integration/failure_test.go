package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

func (s *story) claim(name string) *corev1.PersistentVolumeClaim {
	s.t.Helper()
	claim := &corev1.PersistentVolumeClaim{}
	s.Expect(s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.Key.Namespace, Name: name}, claim)).To(Succeed())
	return claim
}

// disk is the folder that a server's volume is.
func (s *story) disk(server string) string {
	s.t.Helper()
	volume := &corev1.PersistentVolume{}
	key := client.ObjectKey{Name: s.claim(server).Spec.VolumeName}
	s.Expect(s.Client.Get(s.t.Context(), key, volume)).To(Succeed())
	return volume.Spec.HostPath.Path
}

// corrupt fills the Raft log of a server with what no Consul can read.
func (s *story) corrupt(server string) {
	s.t.Helper()
	corrupted := 0
	s.Expect(filepath.WalkDir(filepath.Join(s.disk(server), "raft"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		corrupted++
		return os.WriteFile(path, []byte("nothing that Consul could read"), 0o600)
	})).To(Succeed())
	s.Expect(corrupted).To(BeNumerically(">", 0))
}

func (s *story) kill(server string) {
	s.t.Helper()
	s.signal(server, syscall.SIGKILL)
}

func (s *story) signal(server string, signal syscall.Signal) {
	s.t.Helper()
	process, runs := s.Process(s.t.Context(), server)
	s.Expect(runs).To(BeTrue(), server+" runs")
	s.Expect(process.Signal(signal)).To(Succeed())
}

// A server that can never start again is given up, its volume is kept, and another server takes its place.
func TestServerWithACorruptDiskIsReplaced(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "corrupt", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.FailureReplacement = v1alpha1.FailureReplacement{After: &metav1.Duration{Duration: 15 * time.Second}, MaxPerHour: 1}
	})
	s.Observer.SetFaults(true)
	victim := s.follower()
	s.corrupt(victim)
	s.kill(victim)
	s.until("another server is added in its place", func(c *v1alpha1.ConsulCluster) bool { return len(c.Status.Servers) == 4 })
	s.until("it is given up", func(c *v1alpha1.ConsulCluster) bool {
		return !slices.ContainsFunc(c.Status.Servers, func(server v1alpha1.ServerStatus) bool { return server.Name == victim })
	})
	s.reach("healed", 2*time.Minute)
	s.Expect(s.cluster().Status.Voters).To(BeNumerically("==", 3), "the dead peer was removed from Raft")
	s.Expect(s.claim(victim).Labels).To(HaveKeyWithValue(v1alpha1.LabelRetired, v1alpha1.RetiredFailed), "its volume is kept")
	s.end(0)
}

// A server that hangs for a moment after it was healthy for longer than failureReplacement.after is not given up.
func TestServerThatHangsForAMomentStays(t *testing.T) {
	long(t)
	s := begin(t, shared, "stopped", func(spec *v1alpha1.ConsulClusterSpec) {
		spec.FailureReplacement = v1alpha1.FailureReplacement{After: &metav1.Duration{Duration: 20 * time.Second}, MaxPerHour: 1}
	})
	s.Observer.SetFaults(true)
	s.Observer.AllowLeaderChanges(-1)
	healthySince := time.Now()
	s.Eventually(func() time.Duration { return time.Since(healthySince) }, time.Minute, time.Second).
		Should(BeNumerically(">", 25*time.Second), "it has been healthy for longer than it may be unhealthy")
	before, victim := s.servers(), s.follower()
	s.signal(victim, syscall.SIGSTOP)
	s.until("its leader calls it unhealthy", func(c *v1alpha1.ConsulCluster) bool {
		i := slices.IndexFunc(c.Status.Servers, func(server v1alpha1.ServerStatus) bool { return server.Name == victim })
		return c.Status.Servers[i].UnhealthySince != nil
	})
	s.signal(victim, syscall.SIGCONT)
	s.reach("well again", time.Minute)
	s.Expect(s.servers()).To(Equal(before), "nobody was replaced")
	s.verify()
}

// All servers are gone at the same moment and come back on their volumes, each with another address.
func TestAllServersAtOnceComeBack(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "all-at-once", func(*v1alpha1.ConsulClusterSpec) {})
	s.Observer.SetFaults(true)
	s.Observer.AllowLeaderChanges(-1)
	s.Eventually(func() int { return s.Load.Result().All.Acknowledged }, time.Minute, 100*time.Millisecond).
		Should(BeNumerically(">", 0))
	before := s.servers()
	var addresses []string
	for _, server := range before {
		pod := s.pod(server)
		addresses = append(addresses, pod.Status.PodIP)
		s.Expect(s.Client.Delete(t.Context(), pod, client.GracePeriodSeconds(0))).To(Succeed())
	}
	s.until("nobody leads", func(c *v1alpha1.ConsulCluster) bool { return c.Status.Leader == "" })
	s.reach("back", 2*time.Minute)
	s.Expect(s.servers()).To(Equal(before))
	for _, server := range before {
		s.Expect(addresses).NotTo(ContainElement(s.pod(server).Status.PodIP), server+" has another address")
	}
	s.verify()
}

// The upgrade that ate the quorum: two of three servers are deleted without a leave while an upgrade is on, and stay
// behind as peers.
func TestServersDeletedWithoutALeaveDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	s := begin(t, shared, "eaten", func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge = 3
	})
	s.Observer.SetFaults(true)
	s.Observer.AllowLeaderChanges(-1)
	before := s.servers()
	s.patch(toVersion(newest))
	s.until("the new servers are there", func(c *v1alpha1.ConsulCluster) bool { return len(c.Status.Servers) == 6 })
	// Paused, or the first of the old ones could be gone before the last of the new ones votes.
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Paused = true })
	s.until("the new servers are voters", func(c *v1alpha1.ConsulCluster) bool { return c.Status.Voters == 6 })
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Paused = false })
	leader := s.cluster().Status.Leader
	for _, server := range before {
		if server != leader && remaining(s.cluster(), []string{server}) == 1 {
			s.Expect(s.Destroy(t.Context(), server)).To(Succeed())
		}
	}
	s.reach("upgraded all the same", 3*time.Minute)
	s.Expect(s.cluster().Status.Voters).To(BeNumerically("==", 3), "no dead peer is left in Raft")
	s.Expect(remaining(s.cluster(), before)).To(BeZero())
	s.verify()
}
