package resources_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

var gossipPhases = []v1alpha1.GossipPhase{
	v1alpha1.GossipOff, v1alpha1.GossipAccepting, v1alpha1.GossipSending, v1alpha1.GossipRequired,
}

func inPhase(phase v1alpha1.GossipPhase) *v1alpha1.ConsulCluster {
	c := plain()
	c.Annotations = map[string]string{
		v1alpha1.AnnotationGossip: string(phase), v1alpha1.AnnotationRecordsOf: string(c.UID),
	}
	return c
}

// I6: nothing of a cluster changes that never heard of gossip encryption.
func TestWithoutGossipEncryption(t *testing.T) {
	g := NewWithT(t)
	c := plain()
	wanted := resources.Revision(c)
	c.Spec.GossipEncryption.Enabled = new(true)
	g.Expect(resources.Revision(c)).To(Equal(wanted), "the phase counts, and not what the spec says of it")
	g.Expect(resources.HasGossipKey(resources.GossipPhase(c))).To(BeFalse())
}

func TestWhichGossipPhaseCounts(t *testing.T) {
	other := func(c *v1alpha1.ConsulCluster) { c.Annotations[v1alpha1.AnnotationRecordsOf] = "of another one" }
	lost := func(c *v1alpha1.ConsulCluster) { c.Annotations = nil }
	witness := func(c *v1alpha1.ConsulCluster) { c.Status.GossipEncryption = v1alpha1.GossipSending }
	foreign := func(c *v1alpha1.ConsulCluster) {
		c.Status.Servers = []v1alpha1.ServerStatus{{Name: "consul-0", ID: "of another cluster"}}
	}
	for name, test := range map[string]struct {
		changes []func(*v1alpha1.ConsulCluster)
		phase   v1alpha1.GossipPhase
		lost    bool
	}{
		"the record":                           {nil, v1alpha1.GossipRequired, false},
		"the record before the status":         {[]func(*v1alpha1.ConsulCluster){witness}, v1alpha1.GossipRequired, false},
		"the status, where the record is gone": {[]func(*v1alpha1.ConsulCluster){witness, lost}, v1alpha1.GossipSending, true},
		"a copy of a cluster has none":         {[]func(*v1alpha1.ConsulCluster){other}, "", false},
		"nor a copy of another one's status":   {[]func(*v1alpha1.ConsulCluster){witness, foreign, lost}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := inPhase(v1alpha1.GossipRequired)
			for _, change := range test.changes {
				change(c)
			}
			g.Expect(resources.GossipPhase(c)).To(Equal(test.phase))
			g.Expect(resources.GossipRecordLost(c)).To(Equal(test.lost))
		})
	}
}

// Each phase is a revision of its own. Off after Accepting is not what a cluster has that never had a key: the key is on volumes.
func TestPhasesAreRevisions(t *testing.T) {
	g := NewWithT(t)
	revisions := map[string]bool{resources.Revision(plain()): true}
	for _, phase := range gossipPhases {
		revisions[resources.Revision(inPhase(phase))] = true
	}
	g.Expect(revisions).To(HaveLen(5))
}

func TestServersInAPhase(t *testing.T) {
	for phase, test := range map[v1alpha1.GossipPhase]struct {
		verifies string
		hasKey   bool
	}{
		v1alpha1.GossipOff:       {"", false},
		v1alpha1.GossipAccepting: {"in false, out false", true},
		v1alpha1.GossipSending:   {"in false, out true", true},
		v1alpha1.GossipRequired:  {"in true, out true", true},
	} {
		t.Run(string(phase), func(t *testing.T) {
			g := NewWithT(t)
			c := inPhase(phase)
			file, err := resources.AgentConfig(c)
			g.Expect(err).NotTo(HaveOccurred())
			var config map[string]any
			g.Expect(json.Unmarshal(file, &config)).To(Succeed())
			verifies := ""
			if in, is := config["encrypt_verify_incoming"]; is {
				verifies = fmt.Sprintf("in %v, out %v", in, config["encrypt_verify_outgoing"])
			}
			g.Expect(verifies).To(Equal(test.verifies))
			g.Expect(config).NotTo(HaveKey("encrypt"), "the key is in no revision")

			pod := serverPod(t, c)
			g.Expect(pod.Spec.InitContainers).To(HaveLen(1))
			g.Expect(resources.GivenGossipKey(pod)).To(Equal(test.hasKey))
			mounts := pod.Spec.InitContainers[0].VolumeMounts
			g.Expect(mounts).To(HaveLen(map[bool]int{false: 1, true: 2}[test.hasKey]), "data, and the key")
			for _, mount := range pod.Spec.Containers[0].VolumeMounts {
				g.Expect(mount.Name).NotTo(Equal("gossip"), "Consul has the key from its volume")
			}
		})
	}
}

// What the pod of a server has besides, once gossip is encrypted.
func TestRenderedGossip(t *testing.T) {
	g := NewWithT(t)
	pod := serverPod(t, inPhase(v1alpha1.GossipRequired))
	text, err := yaml.Marshal(map[string]any{
		"annotations": pod.Annotations, "initContainers": pod.Spec.InitContainers, "volumes": pod.Spec.Volumes,
	})
	g.Expect(err).NotTo(HaveOccurred())
	golden(t, "gossip.yaml", string(text))
}

// serverPod is the pod of a server as it is created.
func serverPod(t *testing.T, c *v1alpha1.ConsulCluster) *corev1.Pod {
	t.Helper()
	g := NewWithT(t)
	revision, err := resources.RevisionSecret(c)
	g.Expect(err).NotTo(HaveOccurred())
	pod, err := resources.Pod(c, resources.Server{Name: "consul-0", Settings: resources.NoSettings}, revision)
	g.Expect(err).NotTo(HaveOccurred())
	return pod
}

// A server has the keys of the Secret, whatever its volume had, and nothing of what Serf remembers.
func TestTheKeyOnAVolume(t *testing.T) {
	prepared := func(d *disk, phase v1alpha1.GossipPhase) string {
		script := serverPod(t, inPhase(phase)).Spec.InitContainers[0].Command[2]
		script = strings.ReplaceAll(script, "/consul/data", d.dir)
		return strings.ReplaceAll(script, "/consul/gossip", filepath.Join(d.dir, "mounted"))
	}
	d := newDisk(t, "consul-2")
	d.script = prepared(d, v1alpha1.GossipRequired)
	d.write("mounted/keyring", `["new"]`)
	for _, last := range []string{"mkdir", "rm -f", "cat ", "mv ", ""} { // it is killed at any point, and runs again
		d.write("serf/local.keyring", `["old"]`)
		d.write("serf/local.snapshot", "alive: consul-7 10.0.0.7:8301")
		whole := d.script
		if last != "" {
			d.script = strings.Replace(whole, last, "exit 9; "+last, 1)
			_, err := d.run()
			d.Expect(err).To(HaveOccurred(), last)
			d.script = whole
		}
		d.runs()
		d.Expect(d.read("serf/local.keyring")).To(Equal(`["new"]`), last)
		d.Expect(d.read("serf/local.snapshot")).To(BeEmpty(), last)
	}
	d.Expect(os.RemoveAll(filepath.Join(d.dir, "mounted"))).To(Succeed())
	d.script = prepared(d, v1alpha1.GossipOff)
	d.runs()
	d.Expect(d.read("serf/local.keyring")).To(BeEmpty(), "Consul would encrypt")
}

func TestGossipIsConfiguredOnce(t *testing.T) {
	for _, key := range []string{"encrypt", "Encrypt", "encrypt_verify_incoming", "encrypt_verify_outgoing"} {
		t.Run(key, func(t *testing.T) {
			g := NewWithT(t)
			c := plain()
			c.Spec.Config = config(t, map[string]any{key: "x"})
			g.Expect(resources.CheckConfig(c)).To(Succeed(), "users may do it themselves")
			c.Spec.GossipEncryption.Enabled = new(true)
			g.Expect(resources.CheckConfig(c)).To(MatchError(ContainSubstring("spec.config." + key)))
		})
	}
}

func TestWhoConnectsDatacenters(t *testing.T) {
	for text, connects := range map[string]bool{
		``: false, `{}`: false, `{"ports": {"serf_wan": -1}}`: false, `{"ports": {"serf_wan": 8302}}`: true,
		`{"Ports": [{"Serf_WAN": 8302}]}`: true, `{"ports": {"serf_wan": "8302"}}`: true,
	} {
		c := plain()
		c.Spec.Config = &v1alpha1.Config{Raw: []byte(text)}
		NewWithT(t).Expect(resources.ConnectsDatacenters(c)).To(Equal(connects), text)
	}
}
