package plugin

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// known is what is known of a healthy cluster that has just been upgraded.
func known(change func(*evidence)) *evidence {
	e := &evidence{at: noon, picture: healthy(func(p *picture) {
		p.Namespace, p.UID = "default", "0c0c0c0c-0000-4000-8000-00000000000c"
		p.Annotations = map[string]string{v1alpha1.AnnotationNextSerial: "6"}
		p.Status.LeaderSince, p.Status.LastHandoff.At = before(20*time.Minute), *before(20 * time.Minute)
		p.Status.Conditions[0].LastTransitionTime = *before(15 * time.Minute)
		p.Status.Servers[1].Leader = true
		for name, pod := range p.pods {
			pod.Namespace, pod.CreationTimestamp = "default", *before(25 * time.Minute)
			pod.Labels = map[string]string{v1alpha1.LabelServer: name, v1alpha1.LabelRevision: "0123456789"}
			p.pods[name] = pod
		}
	})}
	event := func(kind, name, why, message, level string, ago time.Duration) corev1.Event {
		return corev1.Event{
			InvolvedObject: corev1.ObjectReference{Kind: kind, Name: name}, Reason: why, Message: message, Type: level,
			LastTimestamp: *before(ago),
		}
	}
	e.events = []corev1.Event{
		event("Pod", "consul-2", "Killing", "Stopping container consul", "Normal", 30*time.Minute),
		event("Pod", "consul-3", "Unhealthy", "Readiness probe failed: <500>", "Warning", 24*time.Minute),
		event("ConsulCluster", "consul", "TransferLeadership", "leadership moved from consul-0 to consul-4 in 24 ms", "Normal",
			20*time.Minute),
	}
	e.events[1].Count = 3
	e.kinds = []objects{{"cluster.yaml", "the ConsulCluster", []client.Object{e.ConsulCluster}}}
	e.versions = versionsOf("1.0.0", "v1.37.2", []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Name: "consul-operator-0", Namespace: "consul-operator-system"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Image: "consul-operator:1.0.0"}}},
	}}, e.ConsulCluster)
	e.secrets = []secretName{{"consul-ca-key", "kubernetes.io/tls"}, {"mine", ""}}
	e.logs = []logText{{"logs/consul-3-consul.log", "agent: started\n"}}
	e.miss("nodes.yaml", errors.New(`nodes is forbidden: User "jane" cannot list resource "nodes" at the cluster scope`))
	change(e)
	return e
}

// unzipped are the files of a report, by name.
func unzipped(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	g := NewWithT(t)
	archive, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	g.Expect(err).NotTo(HaveOccurred())
	files := map[string]string{}
	for _, file := range archive.File {
		g.Expect(file.Mode().Perm()).To(Equal(os.FileMode(0o600)))
		reader, err := file.Open()
		g.Expect(err).NotTo(HaveOccurred())
		text, err := io.ReadAll(reader)
		g.Expect(err).NotTo(HaveOccurred())
		files[file.Name] = string(text)
	}
	return files
}

func bundled(t *testing.T, e *evidence) map[string]string {
	t.Helper()
	files, err := e.files(reporting{zip: "x.zip"})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return unzipped(t, files[0].content)
}

func TestWhatIsInAReport(t *testing.T) {
	g := NewWithT(t)
	files := bundled(t, known(func(*evidence) {}))
	golden(t, "report-readme", files["README.txt"])
	g.Expect(files["events.txt"]).To(Equal("2026-01-01T11:30:00Z Normal Killing pod/consul-2: Stopping container consul\n" +
		"2026-01-01T11:36:00Z Warning Unhealthy pod/consul-3 (3 times): Readiness probe failed: <500>\n" +
		"2026-01-01T11:40:00Z Normal TransferLeadership consulcluster/consul: leadership moved from consul-0 to consul-4 in 24 ms\n"))
	golden(t, "report-versions", files["versions.txt"])
	golden(t, "report-secrets", files["secrets.txt"])
	g.Expect(files["cluster.yaml"]).To(HavePrefix("---\napiVersion: consuloperator.io/v1alpha1\nkind: ConsulCluster\n"))
	g.Expect(files["cluster.yaml"]).To(ContainSubstring("id: 8f2c3c0e-1111-5222-8333-000000000000"), "ids of servers can be read")
	g.Expect(files["cluster.yaml"]).To(ContainSubstring("uid: 0c0c0c0c-0000-4000-8000-00000000000c"))
	g.Expect(files).To(HaveKey("report.html"))
	g.Expect(files).To(HaveKey("logs/consul-3-consul.log"))
	g.Expect(files).NotTo(HaveKey("nodes.yaml"), "it could not be read")
}

func TestNothingIsLeftOut(t *testing.T) {
	e := known(func(e *evidence) { e.gaps = nil; e.nodes = []corev1.Node{{}} })
	g := NewWithT(t)
	g.Expect(bundled(t, e)["README.txt"]).To(ContainSubstring("Left out\n\n  nothing\n"))
	g.Expect(e.parting(reporting{zip: "x"})).NotTo(ContainSubstring("Left out"))
	golden(t, "report-parting", known(func(*evidence) {}).parting(reporting{zip: "x"}))
}

func TestOnlySomeOfANodeIsInAReport(t *testing.T) {
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "node1", Labels: map[string]string{"zone": "a"}, Annotations: map[string]string{"an-annotation": "x"},
	}}
	node.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}}
	node.Spec.ProviderID = "provider"
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	node.Status.Addresses = []corev1.NodeAddress{{Address: "10.0.0.1"}}
	text := bundled(t, known(func(e *evidence) { e.nodes = []corev1.Node{node} }))["nodes.yaml"]
	g := NewWithT(t)
	for _, kept := range []string{"name: node1", "zone: a", "key: dedicated", "type: Ready"} {
		g.Expect(text).To(ContainSubstring(kept))
	}
	for _, dropped := range []string{"an-annotation", "provider", "10.0.0.1"} {
		g.Expect(text).NotTo(ContainSubstring(dropped))
	}
}

func TestWhatIsAboutACluster(t *testing.T) {
	g := NewWithT(t)
	of := func(cluster string) v1alpha1.ConsulSnapshot {
		return v1alpha1.ConsulSnapshot{
			ObjectMeta: metav1.ObjectMeta{Name: "of-" + cluster}, Spec: v1alpha1.ConsulSnapshotSpec{ClusterName: cluster},
		}
	}
	items := itemsOf(&v1alpha1.ConsulSnapshotList{Items: []v1alpha1.ConsulSnapshot{of("consul"), of("other")}}, "consul")
	g.Expect(items).To(HaveLen(1))
	e := known(func(e *evidence) { e.kinds = append(e.kinds, objects{items: items}) })
	var about []string
	for _, event := range e.about([]corev1.Event{
		{InvolvedObject: corev1.ObjectReference{Name: "consul"}, LastTimestamp: *before(time.Minute)},
		{InvolvedObject: corev1.ObjectReference{Name: "of-consul"}, EventTime: metav1.NewMicroTime(noon.Add(-2 * time.Minute))},
		{InvolvedObject: corev1.ObjectReference{Name: "of-other"}},
		{InvolvedObject: corev1.ObjectReference{Name: "consul-77"}}, // a server that is gone
		{InvolvedObject: corev1.ObjectReference{Name: "consul-other-0"}},
	}) {
		about = append(about, event.InvolvedObject.Name)
	}
	g.Expect(about).To(Equal([]string{"consul-77", "of-consul", "consul"}))
}

func TestWhichSecretsASpecNames(t *testing.T) {
	c := &v1alpha1.ConsulCluster{}
	c.Spec.ConfigFrom = []v1alpha1.ConfigSource{{SecretRef: v1alpha1.SecretKey{Name: "of-config"}}}
	c.Spec.PodTemplate.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "of-registry"}}
	c.Spec.PodTemplate.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: "of-volume"},
	}}}
	NewWithT(t).Expect(secretsNamed(c)).To(ConsistOf("of-config", "of-registry", "of-volume"))
}

func TestAFileIsWrittenOnceAndForItsOwner(t *testing.T) {
	g := NewWithT(t)
	name := filepath.Join(t.TempDir(), "x.zip")
	g.Expect(writeNew(name, []byte("first"))).To(Succeed())
	info, err := os.Stat(name)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
	g.Expect(writeNew(name, []byte("second"))).To(MatchError(os.ErrExist))
	kept, err := os.ReadFile(name)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(kept)).To(Equal("first"))
}

func TestTheEndOfALog(t *testing.T) {
	g := NewWithT(t)
	g.Expect(endOf("one\ntwo\nthree\n", 100)).To(Equal("one\ntwo\nthree\n"))
	g.Expect(endOf("one\ntwo\nthree\n", 8)).To(Equal("three\n"))
	g.Expect(endOf("one long line", 4)).To(Equal("line"))
	g.Expect(sizeOf(1)).To(Equal("1 KiB"))
	g.Expect(sizeOf(3 << 20)).To(Equal("3.0 MiB"))
}

// pageOf is the page, and a golden file of it.
func pageOf(t *testing.T, name string, e *evidence) string {
	t.Helper()
	g := NewWithT(t)
	r := newRedactor()
	r.know(e.knownIDs()...)
	got, err := e.page(r)
	g.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join("testdata", name+".html")
	if *update {
		g.Expect(os.WriteFile(file, []byte(got), 0o644)).To(Succeed())
	}
	want, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(string(want)), "the page is not %s: -args -update writes it anew", file)
	return got
}

func TestThePageShowsTheCluster(t *testing.T) {
	g := NewWithT(t)
	html := pageOf(t, "page-healthy", known(func(*evidence) {}))
	for _, name := range []string{"conditions", "operator", "consul-2", "consul-3", "consul-4", "consul-5"} {
		g.Expect(html).To(ContainSubstring(`dy="5">` + name + `</text>`))
	}
	g.Expect(strings.Count(html, `class="state-serving"`)).To(Equal(3), "a bar for each server that there is")
	g.Expect(strings.Count(html, `class="crown"`)).To(Equal(1))
	g.Expect(strings.Count(html, `<circle class="mark warning"`)).To(Equal(1))
	g.Expect(html).To(ContainSubstring("consul-0 → consul-4 in 24ms"))
	g.Expect(html).To(ContainSubstring("Readiness probe failed: &lt;500&gt; (3 times)"))
	g.Expect(html).To(ContainSubstring(`<div class="verdict good"><b>Healthy</b>`))
	g.Expect(html).To(ContainSubstring("prefers-color-scheme: dark"))
}

func TestThePageShowsWhatIsWrong(t *testing.T) {
	g := NewWithT(t)
	html := pageOf(t, "page-lost", known(func(e *evidence) {
		lostSaying(lostTwo)(&e.picture)
		e.Status.Failures = []v1alpha1.Failure{{
			Attempt: "CreatePod consul-6", Reason: string(reason.QuotaExceeded), Message: "no quota",
		}}
		e.events = nil
	}))
	g.Expect(html).To(ContainSubstring(`<div class="verdict"><b>QuorumLost</b>`))
	g.Expect(html).To(ContainSubstring("QuotaExceeded: no quota"))
	g.Expect(html).NotTo(ContainSubstring(`class="crown"`))
}

func TestThePageOfANewCluster(t *testing.T) {
	html := pageOf(t, "page-new", known(func(e *evidence) {
		e.Status, e.pods, e.zones, e.saved, e.events = v1alpha1.ConsulClusterStatus{}, nil, nil, nil, nil
	}))
	NewWithT(t).Expect(html).To(ContainSubstring("The operator has not looked at it yet"))
}

// Whatever somebody writes into an object is text in the page, and the page needs nothing but itself.
func TestThePageEscapesEverythingAndFetchesNothing(t *testing.T) {
	g := NewWithT(t)
	const evil = `"><script>alert(1)</script><img src=x onerror='alert(2)'>`
	e := known(func(e *evidence) {
		e.is(metav1.ConditionFalse, evil, evil)
		e.Status.Version, e.Spec.Version, e.Status.Leader, e.Status.Ready = evil, evil, evil, evil
		e.Status.Servers[0].Name, e.Status.Servers[0].Message, e.Status.Servers[0].State = evil, evil, evil
		e.pods[evil] = e.pods["consul-3"]
		e.Status.Disagreements = []v1alpha1.Disagreement{{Name: evil, Problem: evil, Action: evil}}
		e.Status.LastHandoff.From = evil
		for i := range e.events {
			e.events[i].Message, e.events[i].Reason, e.events[i].Type = evil, evil, evil
		}
	})
	r := newRedactor()
	html, err := e.page(r)
	g.Expect(err).NotTo(HaveOccurred())
	outside := regexp.MustCompile(`="[^"]*"`).ReplaceAllString(html, "") // what is in an attribute stays there
	for _, tag := range []string{"<script", "<img", "onerror='"} {
		g.Expect(html).NotTo(ContainSubstring(tag))
	}
	g.Expect(html).To(ContainSubstring("&lt;script&gt;"))
	for _, fetching := range []string{"http://", "https://", "src=\"", "href=", "<link", "@import", "url(", "<script"} {
		g.Expect(html).NotTo(ContainSubstring(fetching))
	}
	g.Expect(outside).NotTo(MatchRegexp(`<[a-z]+[^>]*\son[a-z]+`))
}

func TestTheTimelineHasRoomForEverything(t *testing.T) {
	for _, old := range []time.Duration{time.Second, 10 * time.Minute, time.Hour, 26 * time.Hour, 90 * 24 * time.Hour} {
		t.Run(fmt.Sprint(old), func(t *testing.T) {
			g := NewWithT(t)
			e := known(func(e *evidence) {
				e.events = e.events[:1]
				e.events[0].LastTimestamp = *before(old)
				e.Status.LeaderSince = before(-time.Hour) // a clock that is ahead
			})
			line := e.timeline()
			g.Expect(len(line.Ticks)).To(BeNumerically("<=", 100))
			for _, l := range line.Lanes {
				for _, b := range l.Bars {
					g.Expect(b.X).To(BeNumerically(">=", plotLeft))
					g.Expect(b.X).To(BeNumerically("<=", plotRight))
				}
				for _, m := range l.Marks {
					g.Expect(m.X).To(And(BeNumerically(">=", plotLeft), BeNumerically("<=", plotRight)))
				}
			}
		})
	}
}

// kindsOfTest are objects of all kinds that a report has.
func kindsOfTest() []client.Object {
	return []client.Object{
		&v1alpha1.ConsulCluster{}, &v1alpha1.ConsulSnapshot{}, &v1alpha1.ConsulSnapshotSchedule{}, &v1alpha1.ConsulRestore{},
		&corev1.Pod{}, &corev1.PersistentVolumeClaim{}, &policyv1.PodDisruptionBudget{}, &corev1.Service{},
		&networkingv1.NetworkPolicy{}, &batchv1.Job{},
	}
}

func TestAllKindsOfAReportAreTested(t *testing.T) {
	g := NewWithT(t)
	tested := map[string]bool{}
	for _, o := range kindsOfTest() {
		tested[strings.TrimPrefix(fmt.Sprintf("%T", o), "*")] = true
	}
	for _, from := range sources("consul") {
		g.Expect(tested).To(HaveKey(strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", from.list), "*"), "List")))
	}
}
