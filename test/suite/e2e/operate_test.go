package e2e

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

var _ = Describe("a cluster", Ordered, ContinueOnFailure, func() {
	installed()

	It("upgrades under load with maxSurge 1", Label(essential), func() { upgradeUnderLoad(1) })

	It("upgrades under load with maxSurge 3", func() { upgradeUnderLoad(3) })

	It("spreads servers over nodes, scales, answers by name and is deleted", func() {
		c := create("operate", func(*v1alpha1.ConsulClusterSpec) {})
		Expect(c.zones()).To(HaveLen(3), "each server is in a zone of its own")
		in := c.in()
		kubectl("scale", "consulcluster/consul", "--replicas=1", in)
		kubectl("wait", "consulcluster/consul", "--for=jsonpath={.status.voters}=1", "--timeout=2m", in)
		kubectl("wait", "consulcluster/consul", "--for=condition=Ready", "--timeout=2m", in)
		Expect(kubectl("describe", "consulcluster/consul", in)).To(ContainSubstring("is retiring"))
		server := c.get().Status.Servers[0].Name
		members := kubectl("exec", server, in, "--", "consul", "members",
			"-http-addr=https://consul."+c.Key.Namespace+".svc:8501", "-ca-file=/consul/tls/ca.crt")
		Expect(members).To(ContainSubstring(server), "the client Service has a name that resolves")
		kubectl("delete", "consulcluster/consul", "--timeout=1m", in)
		Eventually(func() string {
			return kubectl("get", "pods,persistentvolumeclaims,services,secrets,poddisruptionbudgets", "--output=name", in)
		}, "1m", "500ms").Should(BeEmpty(), "nothing is left")
	})

	It("hands leadership over when its leader's pod is deleted, and has it back on its volume", func() {
		c := create("deleted", func(*v1alpha1.ConsulClusterSpec) {})
		c.watch(load.Options{Rate: 200})
		c.Observer.SetFaults(true) // that there are two voters for a while is what the user asks for
		leader, before := c.get().Status.Leader, c.pods()
		volumes := c.volumes()
		kubectl("delete", "pod", leader, "--timeout=1m", c.in())
		Eventually(c.pods, "1m", "200ms").Should(HaveKeyWithValue(leader, Not(Equal(before[leader]))))
		c.until("it votes again", func(c *v1alpha1.ConsulCluster) bool { return c.Status.Voters == 3 && harness.IsReady(c) })
		Expect(c.pods()).To(HaveLen(3))
		Expect(c.volumes()).To(Equal(volumes))
		if c.Undisturbed() {
			Expect(c.get().Status.Leader).NotTo(Equal(leader))
		}
		Expect(c.end().HandedOver(1)).To(Succeed(), "handed over once, on SIGTERM")
	})

	It("reads settings again, and replaces and restarts no server", func() {
		c := create("reloaded", func(*v1alpha1.ConsulClusterSpec) {})
		before := c.pods()
		c.watch(load.Options{Rate: 200})
		config, err := v1alpha1.NewConfig(map[string]any{"node_meta": map[string]any{"room": "blue"}})
		Expect(err).NotTo(HaveOccurred())
		c.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Config = config })
		c.ready(2 * time.Minute)
		Expect(c.pods()).To(Equal(before), "the same, and not restarted")
		for server := range before {
			Expect(c.NodeMeta(GinkgoT().Context(), kubectl("get", "pod", server, "--output=jsonpath={.status.podIP}", c.in()))).
				To(HaveKeyWithValue("room", "blue"))
		}
		Expect(c.end().HandedOver(0)).To(Succeed(), invariant.I3.String())
	})

	It("upgrades in place, one server at a time, on the volumes it has", func() {
		c := create("in-place", func(spec *v1alpha1.ConsulClusterSpec) { spec.Update.Type = v1alpha1.UpdateInPlace })
		volumes := c.volumes()
		c.watch(load.Options{Rate: 200})
		c.Observer.SetWanted(2)
		c.patch(toNewest)
		c.ready(5 * time.Minute)
		Expect(c.volumes()).To(Equal(volumes))
		seen := c.end()
		Expect(seen.HandedOver(1)).To(Succeed(), invariant.I3.String())
		Expect(seen.FewestVoters).To(Equal(2), "one server at a time is away")
	})

	It("waits with the scheduler's reason where no node takes the next server, and changes nothing", func() {
		c := create("unschedulable", func(*v1alpha1.ConsulClusterSpec) {})
		before := c.pods()
		c.watch(load.Options{Rate: 200})
		c.Observer.AllowLeaderChanges(0)
		c.patch(func(c *v1alpha1.ConsulCluster) {
			c.Spec.Version, c.Spec.PodTemplate.NodeSelector = newest, map[string]string{"disk": "there-is-none"}
		})
		c.until("it says why", func(c *v1alpha1.ConsulCluster) bool {
			return strings.Contains(harness.Saying(c), "didn't match Pod's node affinity/selector")
		})
		AddReportEntry("says", harness.Saying(c.get()))
		c.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Version, c.Spec.PodTemplate.NodeSelector = older, nil })
		c.ready(time.Minute)
		Expect(c.pods()).To(Equal(before))
		Expect(c.end().HandedOver(0)).To(Succeed())
	})

	It("keeps its servers in different zones through an upgrade, as a user that the platform chose", func() {
		c := create("zones", func(spec *v1alpha1.ConsulClusterSpec) {
			spec.Update.MaxSurge = 3
			spec.PodTemplate.SecurityContext = ofARange(1000680000)
			spec.PodTemplate.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
				TopologyKey: corev1.LabelTopologyZone, MaxSkew: 1, WhenUnsatisfiable: corev1.DoNotSchedule,
				LabelSelector:  &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelCluster: "consul"}},
				MatchLabelKeys: []string{v1alpha1.LabelRevision}, // old and new servers each among themselves
			}}
		})
		Expect(c.zones()).To(HaveLen(3))
		c.patch(toNewest)
		c.ready(5 * time.Minute)
		Expect(c.zones()).To(HaveLen(3))
	})
})

// ofARange is what OpenShift makes of a pod without a security context in a namespace with a range of users.
func ofARange(user int64) *corev1.PodSecurityContext {
	return &corev1.PodSecurityContext{
		RunAsNonRoot: ptr.To(true), RunAsUser: &user, FSGroup: &user,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

func upgradeUnderLoad(surge int32) {
	c := create(fmt.Sprintf("surge-%d", surge), func(spec *v1alpha1.ConsulClusterSpec) { spec.Update.MaxSurge = surge })
	c.watch(load.Options{Rate: 500}) // the nodes themselves take a good part of two cores
	start := time.Now()
	c.patch(toNewest)
	c.ready(5 * time.Minute)
	AddReportEntry("duration", time.Since(start).Round(100*time.Millisecond).String())
	seen := c.end()
	Expect(seen.HandedOver(1)).To(Succeed(), invariant.I3.String())
	Expect(seen.FewestVoters).To(BeNumerically(">=", 3), invariant.I2.String())
	Expect(c.zones()).To(HaveLen(3), "each server is in a zone of its own again")
	Expect(kubectl("get", "consulcluster", "consul", c.in())).To(ContainSubstring(newest))
}

// in is the flag of kubectl for the cluster's namespace.
func (c *consul) in() string { return "--namespace=" + c.Key.Namespace }

// volumes are the claims of the servers, with their UIDs.
func (c *consul) volumes() string {
	GinkgoHelper()
	return kubectl("get", "persistentvolumeclaims", "--no-headers", "--output=custom-columns=:.metadata.name,:.metadata.uid", c.in())
}

// zones in which there are servers.
func (c *consul) zones() map[string][]string {
	GinkgoHelper()
	zones := map[string][]string{}
	for server := range c.pods() {
		node := &corev1.Node{}
		Expect(env.Client.Get(GinkgoT().Context(), client.ObjectKey{Name: c.nodeOf(server)}, node)).To(Succeed())
		zone := node.Labels[corev1.LabelTopologyZone]
		zones[zone] = append(zones[zone], server)
	}
	return zones
}
