package plugin

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// The operator's words, as internal/plan has them.
const (
	lostTwo = "the quorum is lost for good with the volumes of consul-4, consul-5; to carry on with the data of consul-3: " +
		"kubectl annotate consulcluster consul -n default --overwrite consuloperator.io/accept-loss-of=consul-4,consul-5"
	lostAndDown = "the quorum is lost for good with the volumes of consul-4; consul-5 may have more than consul-3 has: bring it " +
		"back, or give it up too: kubectl annotate consulcluster consul -n default --overwrite " +
		"consuloperator.io/accept-loss-of=consul-4,consul-5"
	lostStrangers = "there is no quorum without the voters 0f0f0f0f-1111-4222-8333-444444444444, which are no servers of this " +
		"cluster and which none of ours hears: they may have a leader of their own, and go on; connect them again, or, if you know " +
		"that they never come back, carry on with the data of consul-3: kubectl annotate consulcluster consul -n default --overwrite " +
		"consuloperator.io/accept-loss-of=0f0f0f0f-1111-4222-8333-444444444444,consul-4"
)

func lostSaying(message string) func(*picture) {
	return func(p *picture) {
		lost(p)
		p.Status.QuorumLostSince = before(3 * time.Minute)
		p.is(metav1.ConditionFalse, reason.QuorumLost, message)
	}
}

// volumesOf are claims of these servers.
func volumesOf(servers ...string) map[string]corev1.PersistentVolumeClaim {
	claims := map[string]corev1.PersistentVolumeClaim{}
	for _, name := range servers {
		claim := corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}}
		claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
		claims[name] = claim
	}
	return claims
}

func TestWhatIsLostAndWhatIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*picture)
		claims map[string]corev1.PersistentVolumeClaim
	}{
		"gone": {lostSaying(lostTwo), volumesOf("consul-3")},
		"down": {func(p *picture) {
			lostSaying(lostAndDown)(p)
			p.Status.Servers = append(p.Status.Servers[:1:1], p.Status.Servers[2]) // consul-4 was forgotten long ago
			p.pods["consul-5"] = corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending}}
		}, volumesOf("consul-3", "consul-5")},
		"strangers": {lostSaying(lostStrangers), volumesOf("consul-3", "consul-5")},
		"blind": {func(p *picture) {
			lostSaying(lostTwo)(p)
			p.pods, p.zones, p.saved, p.Status.QuorumLostSince = nil, nil, nil, nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := healthy(test.change)
			given, err := toGiveUp(p.ConsulCluster)
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			golden(t, "recover-"+name, lossOf(p, test.claims, given, noon))
		})
	}
}

func TestWhoIsToBeGivenUp(t *testing.T) {
	says := func(why reason.Reason, message string) func(*picture) {
		return func(p *picture) { p.is(metav1.ConditionFalse, why, message) }
	}
	unseen := func(p *picture) { p.Status = v1alpha1.ConsulClusterStatus{} }
	for name, test := range map[string]struct {
		change func(*picture)
		given  []string
		err    string
		code   int
	}{
		"lost":             {change: says(reason.QuorumLost, lostTwo), given: []string{"consul-4", "consul-5"}},
		"healthy":          {change: func(*picture) {}, err: "not lost for good. The operator says Healthy: all", code: exitFailed},
		"may come back":    {change: says(reason.NoLeader, "no leader: nobody leads"), err: "says NoLeader: no", code: exitFailed},
		"is coming back":   {change: says(reason.RecoveringQuorum, "consul-3 carries on"), err: "recovered already", code: exitFailed},
		"nobody is named":  {change: says(reason.QuorumLost, "the next step waits"), err: "does not say which", code: exitAttention},
		"not looked at":    {change: unseen, err: "has not looked", code: exitFailed},
		"an older spec":    {change: func(p *picture) { p.Generation++ }, err: "has not looked", code: exitFailed},
		"cut off in names": {change: says(reason.QuorumLost, lostTwo+"…"), err: "does not say which servers", code: exitAttention},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			given, err := toGiveUp(healthy(test.change).ConsulCluster)
			g.Expect(given).To(Equal(test.given))
			if test.err == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(test.err)))
			g.Expect(codeOf(t.Context(), err)).To(Equal(test.code))
		})
	}
}

func TestARecoveryIsOver(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*picture)
		over   bool
	}{
		"ready":           {func(*picture) {}, true},
		"not ready":       {upgrading3, false},
		"not looked at":   {func(p *picture) { p.Annotations = map[string]string{v1alpha1.AnnotationAcceptLoss: "consul-4"} }, false},
		"still recovered": {func(p *picture) { p.Annotations = map[string]string{v1alpha1.AnnotationRecovery: "{}"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(isRecovered(healthy(test.change).ConsulCluster)).To(Equal(test.over))
		})
	}
}
