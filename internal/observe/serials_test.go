package observe_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func statusOf(uid types.UID, servers ...string) v1alpha1.ConsulClusterStatus {
	status := v1alpha1.ConsulClusterStatus{Term: 7}
	for _, name := range servers {
		status.Servers = append(status.Servers, v1alpha1.ServerStatus{Name: name, ID: resources.NodeID(uid, name)})
	}
	return status
}

// No serial is used twice, whoever takes the record away, and no name that the operator never gave counts.
func TestTheNextSerial(t *testing.T) {
	unrecorded := func(w *world) { delete(w.cluster.Annotations, v1alpha1.AnnotationNextSerial) }
	for name, test := range map[string]struct {
		change func(w *world)
		next   int
	}{
		"the record":            {func(w *world) { w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "17" }, 17},
		"a record that is low":  {func(w *world) { w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "1" }, 3},
		"no record: the claims": {unrecorded, 3},
		"no record: a pod": {func(w *world) {
			unrecorded(w)
			w.pods = append(w.pods, pod(w.cluster, "consul-4", ""))
		}, 5},
		"no record: the last status": {func(w *world) {
			unrecorded(w)
			w.cluster.Status = statusOf(clusterUID, "consul-5")
		}, 6},
		"no record: a Raft peer": {func(w *world) {
			unrecorded(w)
			w.agent(0).peers = append(w.agent(0).peers, plan.Peer{ID: resources.NodeID(clusterUID, "consul-6"), Name: "consul-6"})
		}, 7},
		"no record: a member of Serf": {func(w *world) {
			unrecorded(w)
			w.agent(0).serf = append(w.agent(0).serf, plan.Member{ID: resources.NodeID(clusterUID, "consul-7"), Name: "consul-7"})
		}, 8},
		"names of others": {func(w *world) {
			w.agent(0).serf = append(w.agent(0).serf, plan.Member{ID: "another", Name: "consul-99"})
			w.cluster.Status = statusOf("a former one", "consul-98")
		}, 3},
		"names that the operator never gives": {func(w *world) {
			for _, name := range []string{
				"consul--5", "consul-+5", "consul-05", "consul-99999999999", "consul-1000000", "consul-99999999999999999999",
			} {
				w.claims = append(w.claims, claim(w.cluster, name))
				w.pods = append(w.pods, pod(w.cluster, name, ""))
			}
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.change(w)
			s := w.look()
			w.Expect(s.Spec.Invalid).To(BeNil())
			w.Expect(s.Spec.NextSerial).To(Equal(test.next))
			w.Expect(names(s.Servers)).To(Equal([]string{"consul-0", "consul-1", "consul-2"}))
		})
	}
}

// The command that repairs the record takes all servers into account that are known, and not those with a claim alone.
func TestHowADamagedSerialIsRepaired(t *testing.T) {
	w := newWorld(t)
	w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "1000000"
	w.cluster.Status = statusOf(clusterUID, "consul-41")
	w.Expect(w.look().Spec.Invalid).To(HaveField("Message", ContainSubstring("next-serial=42,")))
	w.agent(0).peers = append(w.agent(0).peers, plan.Peer{ID: resources.NodeID(clusterUID, "consul-57"), Name: "consul-57"})
	w.Expect(w.look().Spec.Invalid).To(HaveField("Message", ContainSubstring("next-serial=58,")))
}

func TestSerialsAreUsedUp(t *testing.T) {
	w := newWorld(t)
	w.claims = append(w.claims, claim(w.cluster, "consul-999999"))
	w.Expect(w.look().Spec.Invalid.Message).To(HavePrefix("consul-999999 has the last of all serials"))
}

// Whatever the record says, a leaderless cluster is observed in no time.
func TestAHighSerialCostsNothing(t *testing.T) {
	for _, next := range []string{"999999", "900000000000", "9223372036854775807", "99999999999999999999", "-5"} {
		w := leaderless(t)
		w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = next
		start, s := time.Now(), (*plan.Outlook)(nil)
		allocated := testing.AllocsPerRun(1, func() { s = w.look().Servers[0].Agent.Outlook })
		w.Expect(time.Since(start)).To(BeNumerically("<", 5*time.Second), next)
		w.Expect(allocated).To(BeNumerically("<", 50_000), next)
		w.Expect(s.Peers).To(HaveLen(3))
		w.Expect(s.Peers[2]).To(HaveField("Ours", true), "it has a claim")
	}
	w := leaderless(t)
	w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = "900000000000"
	w.Expect(w.look().Spec.Invalid.Reason).To(Equal(reason.DamagedRecord))
}

// A server without a claim is recognized by a serial that is not long ago, or by the last status.
func TestPeersThatWereOurs(t *testing.T) {
	w := leaderless(t)
	w.cluster.Annotations[v1alpha1.AnnotationNextSerial] = strconv.Itoa(10_000)
	w.cluster.Status = statusOf(clusterUID, "consul-1")
	last := w.agent(2)
	last.self.Peers = nil
	for _, serial := range []int{0, 1, 9_000, 9_999} {
		id := resources.NodeID(clusterUID, fmt.Sprintf("consul-%d", serial))
		last.self.Peers = append(last.self.Peers, plan.Peer{ID: id, Voter: true})
	}
	peers := w.look().Servers[0].Agent.Outlook.Peers
	w.Expect(peers[0]).To(Equal(plan.Peer{ID: peers[0].ID, Name: peers[0].ID, Voter: true}), "too long ago: not known")
	w.Expect(peers[1]).To(And(HaveField("Name", "consul-1"), HaveField("Ours", true)), "by the status")
	w.Expect(peers[2]).To(HaveField("Ours", false))
	w.Expect(peers[3]).To(And(HaveField("Name", "consul-9999"), HaveField("Ours", true)), "by its serial")
}
