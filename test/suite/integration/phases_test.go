package integration

import (
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// A user is impatient: while servers of Consul 1.19 go from one phase to the next, they are to be of 1.22.0, and in the next
// phase of 1.22.7. So there are servers of two versions in each of two phases, and they go on hearing each other.
func TestPhasesOfMixedVersions(t *testing.T) {
	long(t)
	for name, test := range map[string]struct {
		on            func(*v1alpha1.ConsulCluster)
		phase         func(v1alpha1.ConsulClusterStatus) string
		first, second string
		between       func(*story)
		last          string
	}{
		"gossip": {
			on:    func(c *v1alpha1.ConsulCluster) { c.Spec.GossipEncryption.Enabled = new(true) },
			phase: func(s v1alpha1.ConsulClusterStatus) string { return string(s.GossipEncryption) },
			first: "Accepting", second: "Sending", between: func(*story) {}, last: "Required",
		},
		"tls": {
			on:    func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.Enabled = new(true) },
			phase: func(s v1alpha1.ConsulClusterStatus) string { return string(s.TLS) },
			first: "Accepting", second: "Sending", between: func(*story) {}, last: "Required",
		},
		"acls": {
			on:    func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs.Enabled = new(true) },
			phase: func(s v1alpha1.ConsulClusterStatus) string { return string(s.ACLs) },
			first: "Allow", second: "Deny", between: (*story).denyWhenClientsHaveTokens, last: "Deny",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, shared, "mixed-"+name, func(spec *v1alpha1.ConsulClusterSpec) {
				soonVoters(spec)
				spec.Version, spec.Update.MaxSurge = oldest, 3
				spec.GossipEncryption.Enabled, spec.TLS.Enabled, spec.ACLs.Enabled = new(false), new(false), new(false)
			})
			halfway := func(phase string) func(*v1alpha1.ConsulCluster) bool {
				return func(c *v1alpha1.ConsulCluster) bool { return test.phase(c.Status) == phase && isHalfway(c) }
			}
			s.Observer.AllowLeaderChanges(5) // one of each phase, and of each version
			s.patch(test.on)
			s.until("some voters are in phase "+test.first, halfway(test.first))
			s.patch(toVersion(older))
			test.between(s)
			s.within(6*time.Minute, "some voters are in phase "+test.second, halfway(test.second))
			s.patch(toVersion(newest))
			s.within(6*time.Minute, "all are in phase "+test.last, func(c *v1alpha1.ConsulCluster) bool {
				return test.phase(c.Status) == test.last
			})
			s.reach("all of one version and in one phase", 4*time.Minute)
			s.Expect(s.cluster().Status.Version).To(Equal(newest))
			s.expectNoViolation(s.verify().Timeline)
		})
	}
}

// isHalfway reports whether some voters are as they should be, and some are not.
func isHalfway(c *v1alpha1.ConsulCluster) bool {
	voters := func(updated bool) bool {
		return slices.ContainsFunc(c.Status.Servers, func(s v1alpha1.ServerStatus) bool { return s.Voter && s.Updated == updated })
	}
	return voters(true) && voters(false)
}

// denyWhenClientsHaveTokens gives tokens to the clients of the story before servers deny.
func (s *story) denyWhenClientsHaveTokens() {
	s.t.Helper()
	s.reach("allowed", 6*time.Minute)
	s.Eventually(s.operatorsTokens, time.Minute, 100*time.Millisecond).Should(HaveLen(3))
	s.Expect(s.Authenticate(s.t.Context())).To(Succeed())
	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.ACLs.DefaultPolicy = v1alpha1.ACLDefaultDeny })
}
