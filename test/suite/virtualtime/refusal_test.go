package virtualtime

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
)

// refusal is what is refused for a while, and what users are told meanwhile.
type refusal struct {
	story scenario
	calls []string // sorts of calls
	err   error
	told  reason.Reason
	// byTheBy is set if the story goes on meanwhile.
	byTheBy bool
}

func refusals() map[string]refusal {
	quota := apierrors.NewForbidden(schema.GroupResource{Resource: "persistentvolumeclaims"}, "consul-9",
		errors.New("exceeded quota: storage"))
	down := apierrors.NewInternalError(errors.New(`failed calling webhook "pods.example.com": connection refused`))
	denied := apierrors.NewBadRequest(`admission webhook "policy.example.com" denied the request: no such pods`)
	claims := []string{"try out PersistentVolumeClaim", "create PersistentVolumeClaim"}
	creation := scenario{name: "bootstrap of 3", steps: []step{foundEncrypted(3)}}
	upgrades := scenario{name: "upgrade of 3, surge 1", replicas: 3, steps: []step{upgrade(newer, 1)}}
	scales := scenario{name: "scale 3 to 5 to 3", replicas: 3, steps: []step{scale(5), scale(3)}}
	return map[string]refusal{
		"a quota, while a cluster is created": {creation, claims, quota, reason.QuotaExceeded, false},
		"a quota, in an upgrade":              {upgrades, claims, quota, reason.QuotaExceeded, false},
		"a webhook that is down":              {upgrades, []string{"create Pod"}, down, reason.WebhookUnavailable, false},
		"a webhook that denies":               {upgrades, []string{"create Pod"}, denied, reason.AdmissionDenied, false},
		"ACLs":                                {upgrades, []string{"leave Consul"}, consul.ErrForbidden, reason.ConsulRefuses, false},
		"a policy about budgets": {creation, []string{"create PodDisruptionBudget"}, denied,
			reason.AdmissionDenied, true},
		"a policy about NetworkPolicies, before there is a server": {creation, []string{"create NetworkPolicy"}, denied,
			reason.AdmissionDenied, false},
		"ACLs, of a call by the by": {scales, []string{"set-autopilot Consul"}, consul.ErrForbidden, reason.ConsulRefuses, true},
	}
}

// refuser refuses calls for a while, and notes what comes of it.
type refuser struct {
	refusal
	lasts       time.Duration
	run         *run
	first, last time.Time // when it refused
	longest     time.Duration
	effects     int
	told, ready time.Time // when the status said so first
}

func (x *refuser) interfere(c call, _ int) verdict {
	now := time.Now()
	x.look(now)
	if !x.first.IsZero() && now.After(x.first.Add(x.lasts)) {
		return verdict{}
	}
	if c.effect && !x.first.IsZero() {
		x.effects++
	}
	if !slices.Contains(x.calls, c.sort()) {
		return verdict{}
	}
	if x.first.IsZero() {
		x.first, x.last = now, now
	}
	x.longest, x.last = max(x.longest, now.Sub(x.last)), now
	return verdict{skip: true, err: x.err}
}

// look at what users see.
func (x *refuser) look(now time.Time) {
	c, exists := x.run.world.api.live[objectKey{"ConsulCluster", clusterName}].(*v1alpha1.ConsulCluster)
	if !exists || x.first.IsZero() {
		return
	}
	if x.told.IsZero() && strings.Contains(readiness(c), string(x.refusal.told)) {
		x.told = now
	}
	if x.ready.IsZero() && c.Status.ReadyReplicas >= c.Spec.Replicas && c.Status.UpdatedReplicas == c.Spec.Replicas {
		x.ready = now
	}
}

// What is refused for long is said within 12 s, is tried at least once a minute, costs little, uses nothing up, keeps nothing
// waiting that can do without, and comes to the same once it is refused no more.
func TestLongRefusals(t *testing.T) {
	for name, test := range refusals() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			b := baselineOf(t, test.story)
			x := &refuser{refusal: test, lasts: 15 * time.Minute}
			o := play(t, test.story, nil, settings{interfere: x.interfere, beforePass: func(r *run) bool {
				x.run = r
				return true
			}})
			count(o)
			expect(t, name, o, b)
			g.Expect(x.told).NotTo(BeZero(), "it is said")
			g.Expect(x.longest).To(And(BeNumerically(">=", 50*time.Second), BeNumerically("<=", 62*time.Second)), "the longest pause")
			if test.byTheBy {
				g.Expect(x.ready.Sub(x.first)).To(BeNumerically("<", 3*time.Minute), "all else goes on")
			} else {
				g.Expect(x.told.Sub(x.first)).To(BeNumerically("<=", 12*time.Second), "it is said soon")
				g.Expect(x.effects).To(BeNumerically("<", 50), "writes, and calls to Consul that change something")
			}
		})
	}
}
