package integration

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plugin"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// plugin runs `kubectl consul` as an administrator, and returns its exit code and what it prints.
func (s *story) plugin(args ...string) (code int, printed string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out}
	code = plugin.Run(ctx, streams, "test", append(args, "--kubeconfig="+s.Kubeconfig(), "--namespace="+s.Key.Namespace))
	s.t.Logf("kubectl consul %s: %d\n%s", strings.Join(args, " "), code, out.String())
	return code, out.String()
}

// tokens are what the Secrets of the cluster hold, as far as it is not public.
func (s *story) tokens() (secrets []string) {
	s.t.Helper()
	for _, name := range []string{
		resources.ManagementSecretName(s.Key.Name), resources.TokensSecretName(s.Key.Name), resources.GossipSecretName(s.Key.Name),
	} {
		for _, value := range s.secret(name).Data {
			for word := range strings.FieldsSeq(strings.NewReplacer(`"`, " ", ",", " ", "[", " ", "]", " ").Replace(string(value))) {
				if len(word) >= 16 { // a token or a key, and not a word about it
					secrets = append(secrets, word)
				}
			}
		}
	}
	s.Expect(secrets).NotTo(BeEmpty())
	return secrets
}

// A person has a report written for whoever helps: it has what is needed, and none of the cluster's secrets. It is written once.
func TestAReportHasNoSecrets(t *testing.T) {
	long(t)
	s := begin(t, shared, "reported", soonVoters)
	archive, page := filepath.Join(t.TempDir(), "report.zip"), filepath.Join(t.TempDir(), "report.html")
	code, printed := s.plugin("report", "reported", "--output-file="+archive, "--html="+page)
	s.Expect(code).To(Equal(0))
	s.Expect(printed).To(ContainSubstring("Look at it before you send"))
	files := s.unzip(archive)
	html, err := os.ReadFile(page)
	s.Expect(err).NotTo(HaveOccurred())
	files["page"] = string(html)
	for _, name := range []string{"README.txt", "cluster.yaml", "pods.yaml", "claims.yaml", "secrets.txt", "nodes.yaml"} {
		s.Expect(files).To(HaveKey(name))
	}
	for _, server := range s.cluster().Status.Servers {
		s.Expect(files["cluster.yaml"]).To(ContainSubstring(server.ID), "ids of servers can be read")
		s.Expect(files["page"]).To(ContainSubstring(server.Name))
	}
	s.Expect(files["secrets.txt"]).To(ContainSubstring(resources.ManagementSecretName(s.Key.Name)))
	for name, text := range files {
		for _, secret := range s.tokens() {
			s.Expect(strings.Contains(text, secret)).To(BeFalse(), "%s has a secret", name)
		}
	}
	code, printed = s.plugin("report", "reported", "--output-file="+archive)
	s.Expect(code).To(Equal(1))
	s.Expect(printed).To(ContainSubstring("is there already"))
	s.end(0)
}

func (s *story) unzip(name string) map[string]string {
	s.t.Helper()
	archive, err := zip.OpenReader(name)
	s.Expect(err).NotTo(HaveOccurred())
	defer archive.Close()
	files := map[string]string{}
	for _, file := range archive.File {
		reader, err := file.Open()
		s.Expect(err).NotTo(HaveOccurred())
		text, err := io.ReadAll(reader)
		s.Expect(err).NotTo(HaveOccurred())
		files[file.Name] = string(text)
	}
	return files
}

// What a drain would meet is told before, and changes nothing.
func TestADrainIsForeseen(t *testing.T) {
	long(t)
	s := begin(t, shared, "foreseen", soonVoters)
	s.Observer.AllowLeaderChanges(0)
	node := s.nodeOf(s.cluster().Status.Leader)
	code, printed := s.plugin("drain", node, "--check")
	s.Expect(code).To(BeElementOf(0, 3), "others share this environment, and one of them may need a person")
	s.Expect(printed).To(ContainSubstring("foreseen in namespace default"))
	s.Expect(printed).To(ContainSubstring(s.cluster().Status.Leader + ", which leads"))
	code, printed = s.plugin("drain", node)
	s.Expect(code).To(Equal(0))
	s.Expect(printed).To(ContainSubstring("kubectl drain " + node))
	seen := &corev1.Node{}
	s.Expect(s.Client.Get(t.Context(), client.ObjectKey{Name: node}, seen)).To(Succeed())
	s.Expect(seen.Spec.Unschedulable).To(BeFalse(), "nothing was drained")
	s.end(0)
}

// A person gives up what a lost quorum has lost, by the plugin. It refuses as long as nothing is lost.
func TestAQuorumIsRecoveredByThePlugin(t *testing.T) {
	long(t)
	s := begin(t, shared, "given-up", soonVoters)
	code, printed := s.plugin("recover", "given-up", "--yes")
	s.Expect(code).To(Equal(1))
	s.Expect(printed).To(ContainSubstring("is not lost for good"))
	before := s.servers()
	lost := s.loseMost()
	s.until("the quorum is lost", func(c *v1alpha1.ConsulCluster) bool {
		stalled := apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionStalled)
		return stalled != nil && stalled.Status == metav1.ConditionTrue && stalled.Reason == "QuorumLost"
	})
	code, printed = s.plugin("recover", "given-up")
	s.Expect(code).To(Equal(2), "nobody can be asked here")
	for _, server := range lost {
		s.Expect(printed).To(MatchRegexp(server + ` +given up +gone`))
	}
	code, printed = s.plugin("recover", "given-up", "--yes", "--timeout=4m")
	s.Expect(code).To(Equal(0))
	s.Expect(printed).To(ContainSubstring("RecoveringQuorum"))
	s.reach("recovered", time.Minute)
	s.recovered(without(before, lost), lost)
}
