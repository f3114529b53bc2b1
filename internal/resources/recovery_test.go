package resources_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

var recovery = &resources.Recovery{ID: "20260101T120000Z", Survivor: "consul-2", Lost: []string{"consul-0", "consul-1"}}

// recoverContainer returns the init container that prepares a server for a recovery.
func recoverContainer(t *testing.T, server string) corev1.Container {
	g := NewWithT(t)
	c := customized(t)
	secret, err := resources.RevisionSecret(c)
	g.Expect(err).NotTo(HaveOccurred())
	pod, err := resources.Pod(c, resources.Server{Name: server, Recovery: recovery}, secret)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pod.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRecovery, recovery.ID))
	return pod.Spec.InitContainers[0]
}

func TestRenderedForARecovery(t *testing.T) {
	g := NewWithT(t)
	text, err := yaml.Marshal(recoverContainer(t, "consul-2"))
	g.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join("testdata", "recover.yaml")
	if *update {
		g.Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
	}
	golden, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred(), "run with -update to write it")
	g.Expect(string(text)).To(Equal(string(golden)), "run with -update if this is what is wanted")
}

// disk is the volume of a server, and the script that runs on it.
type disk struct {
	*WithT
	dir, script, ip string
	env             []string
}

func newDisk(t *testing.T, server string) *disk {
	d := &disk{WithT: NewWithT(t), dir: t.TempDir(), ip: "10.0.0.7"}
	container := recoverContainer(t, server)
	d.script = strings.ReplaceAll(container.Command[2], "/consul/data", d.dir)
	for _, env := range container.Env {
		d.env = append(d.env, env.Name+"="+env.Value)
	}
	d.write("raft/peers.info", "see there")
	d.write("raft/wal/1", "log")
	return d
}

func (d *disk) write(name, text string) {
	path := filepath.Join(d.dir, name)
	d.Expect(os.MkdirAll(filepath.Dir(path), 0o750)).To(Succeed())
	d.Expect(os.WriteFile(path, []byte(text), 0o600)).To(Succeed())
}

// read returns an empty string for a missing file.
func (d *disk) read(name string) string {
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if !os.IsNotExist(err) {
		d.Expect(err).NotTo(HaveOccurred())
	}
	return string(text)
}

func (d *disk) run() (string, error) {
	command := exec.Command("/bin/sh", "-euc", d.script)
	command.Env = append(append(os.Environ(), d.env...), "POD_IP="+d.ip)
	out, err := command.CombinedOutput()
	return string(out), err
}

func (d *disk) runs() {
	out, err := d.run()
	d.Expect(err).NotTo(HaveOccurred(), out)
}

const saved = "recovery/20260101T120000Z/"

func TestTheSurvivorIsMadeTheOnlyVoterOnce(t *testing.T) {
	d := newDisk(t, "consul-2")
	d.runs()
	d.Expect(d.read("raft/peers.json")).To(ContainSubstring(`"non_voter": false`))
	d.Expect(d.read(saved + "raft/wal/1")).To(Equal("log"))

	d.Expect(os.Remove(filepath.Join(d.dir, "raft/peers.json"))).To(Succeed(), "Consul takes it up")
	d.write("raft/wal/1", "log, with more in it")
	d.runs() // the node was restarted
	d.Expect(d.read("raft/peers.json")).To(BeEmpty(), "by now there are other voters")
	d.Expect(d.read(saved+"raft/wal/1")).To(Equal("log"), "what was saved stays")
}

// What Consul reads has the address in the form that Raft uses.
func TestTheAddressOfTheOnlyVoter(t *testing.T) {
	for ip, address := range map[string]string{"10.0.0.7": "10.0.0.7:8300", "fd00::7": "[fd00::7]:8300"} {
		d := newDisk(t, "consul-2")
		d.ip = ip
		d.runs()
		d.Expect(d.read("raft/peers.json")).To(MatchJSON(fmt.Sprintf(
			`[{"id": %q, "address": %q, "non_voter": false}]`, resources.NodeID(plain().UID, "consul-2"), address)))
	}
}

// If it is killed at any point, Consul has not started, and everything is repeated.
func TestARecoveryThatIsInterruptedBeginsAnew(t *testing.T) {
	for _, last := range []string{"rm -rf", "mkdir -p", "cp -a", "printf", "mv ", "touch"} {
		d := newDisk(t, "consul-2")
		whole := d.script
		d.script = strings.Replace(whole, last, "exit 9; "+last, 1)
		_, err := d.run()
		d.Expect(err).To(HaveOccurred(), last)
		d.script = whole
		d.runs()
		d.Expect(d.read("raft/peers.json")).To(ContainSubstring("8300"), last)
		d.Expect(d.read(saved+"raft/wal/1")).To(Equal("log"), last)
	}
}

func TestConsulWouldNotReadPeersWithoutTheInfo(t *testing.T) {
	d := newDisk(t, "consul-2")
	d.Expect(os.Remove(filepath.Join(d.dir, "raft/peers.info"))).To(Succeed())
	out, err := d.run()
	d.Expect(err).To(HaveOccurred())
	d.Expect(out).To(ContainSubstring("peers.info is missing"))
	d.Expect(d.read("raft/peers.json")).To(BeEmpty())
}

func TestTheOthersOnlySaveWhatTheyHave(t *testing.T) {
	d := newDisk(t, "consul-3")
	d.runs()
	d.Expect(d.read("raft/peers.json")).To(BeEmpty())
	d.Expect(d.read(saved + "raft/wal/1")).To(Equal("log"))

	d = newDisk(t, "consul-3")
	d.Expect(os.RemoveAll(filepath.Join(d.dir, "raft"))).To(Succeed())
	d.runs() // it is new
}
