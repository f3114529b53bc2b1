package plugin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// aSnapshot is one that is stored and verified.
func aSnapshot(name string, ago time.Duration, changes ...func(*v1alpha1.ConsulSnapshot)) *v1alpha1.ConsulSnapshot {
	s := &v1alpha1.ConsulSnapshot{}
	s.Name, s.Namespace, s.Generation, s.CreationTimestamp = name, "default", 1, *before(ago + 9*time.Second)
	s.Spec.ClusterName = "consul"
	s.Status = v1alpha1.ConsulSnapshotStatus{
		ObservedGeneration: 1, StartedAt: before(ago + 8*time.Second), CompletedAt: before(ago), Store: "s3://backups",
		Object: "default/consul/" + name + "-1b2c3d4e.snap.age", Encrypted: true, Index: 1042, Term: 3, Size: "684Ki", Bytes: 700123,
		SHA256: strings.Repeat("3f79bb7b", 8), Version: "1.22.7", Datacenter: "dc1", Keys: 512, Verified: v1alpha1.VerifyArchive,
	}
	told(s, metav1.ConditionTrue, metav1.ConditionFalse, reason.SnapshotSaved, "the snapshot is stored and verified")
	for _, change := range changes {
		change(s)
	}
	return s
}

func told(s *v1alpha1.ConsulSnapshot, ready, stalled metav1.ConditionStatus, why reason.Reason, message string) {
	s.Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: ready, Reason: string(why), Message: message, ObservedGeneration: 1},
		{Type: v1alpha1.ConditionStalled, Status: stalled, Reason: string(why), Message: message, ObservedGeneration: 1},
	}
}

func failedSnapshot(s *v1alpha1.ConsulSnapshot) {
	s.Status = v1alpha1.ConsulSnapshotStatus{
		ObservedGeneration: 1, StartedAt: s.Status.StartedAt, CompletedAt: s.Status.CompletedAt, Store: s.Status.Store,
		Object: s.Status.Object,
	}
	told(s, metav1.ConditionFalse, metav1.ConditionTrue, reason.StoreRefuses, "the store says: access denied")
}

func fresh(s *v1alpha1.ConsulSnapshot) { s.Status = v1alpha1.ConsulSnapshotStatus{} }

func open(s *v1alpha1.ConsulSnapshot) {
	s.Status.Encrypted, s.Status.Verified = false, v1alpha1.VerifyRestore
	s.Status.Object = strings.TrimSuffix(s.Status.Object, ".age")
}

func TestSnapshots(t *testing.T) {
	all := []v1alpha1.ConsulSnapshot{
		*aSnapshot("old", 30*24*time.Hour, open), *aSnapshot("nightly-29402880", 10*time.Hour),
		*aSnapshot("other", time.Hour, func(s *v1alpha1.ConsulSnapshot) { s.Spec.ClusterName = "blue" }),
		*aSnapshot("refused", time.Minute, failedSnapshot), *aSnapshot("new", 0, fresh),
	}
	golden(t, "snapshot-list", snapshotTable(ofCluster(append([]v1alpha1.ConsulSnapshot{}, all...), nil), noon))
	golden(t, "snapshot-list-one", snapshotTable(ofCluster(all, []string{"blue"}), noon))
}

func TestWhatIsKnownOfASnapshot(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.ConsulSnapshot){
		"good": func(*v1alpha1.ConsulSnapshot) {}, "open": open, "failed": failedSnapshot, "new": fresh,
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			writeSnapshot(&b, aSnapshot("nightly-29402880", 10*time.Hour, change), noon)
			golden(t, "snapshot-inspect-"+name, b.String())
		})
	}
}

func TestSnapshotsAsObjects(t *testing.T) {
	g := NewWithT(t)
	var b bytes.Buffer
	list := &v1alpha1.ConsulSnapshotList{Items: []v1alpha1.ConsulSnapshot{*aSnapshot("a", 0), *aSnapshot("b", 0)}}
	list.Items[0].ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "somebody"}}
	g.Expect(printObject(&b, list, "json")).To(Succeed())
	read := &v1alpha1.ConsulSnapshotList{}
	g.Expect(json.Unmarshal(b.Bytes(), read)).To(Succeed())
	g.Expect(read.Kind).To(Equal("ConsulSnapshotList"))
	g.Expect(read.Items).To(HaveLen(2))
	g.Expect(read.Items[1].Kind).To(Equal("ConsulSnapshot"))
	g.Expect(read.Items[0].ManagedFields).To(BeEmpty())
	g.Expect(list.Items[0].ManagedFields).NotTo(BeEmpty(), "what was read is left alone")
	b.Reset()
	g.Expect(printObject(&b, &list.Items[0], "yaml")).To(Succeed())
	g.Expect(b.String()).To(HavePrefix("apiVersion: consuloperator.io/v1alpha1\nkind: ConsulSnapshot\n"))
}

func TestWhetherASnapshotCanBeTaken(t *testing.T) {
	g := NewWithT(t)
	c := healthy(func(*picture) {}).ConsulCluster
	g.Expect(hasStore(c)).To(MatchError(And(ContainSubstring("docs/backup.md"), ContainSubstring("--to FILE"))))
	c.Spec.Snapshots.Destination = &v1alpha1.SnapshotDestination{}
	g.Expect(hasStore(c)).To(Succeed())
	for text, want := range map[string]v1alpha1.SnapshotVerification{
		"Archive": v1alpha1.VerifyArchive, "archive": v1alpha1.VerifyArchive, "Restore": v1alpha1.VerifyRestore, "Inspect": "", "": "",
	} {
		is, err := verification(text)
		g.Expect(is).To(Equal(want), text)
		g.Expect(err != nil).To(Equal(want == ""), text)
	}
}

// Names of ConsulSnapshots have at most 57 characters, those of ConsulRestores 44, and those of clusters 40.
func TestNames(t *testing.T) {
	g := NewWithT(t)
	long := "a" + strings.Repeat("-b", 19) + "c"
	g.Expect(long).To(HaveLen(40))
	g.Expect(snapshotName("consul", noon)).To(Equal("consul-20260101-120000"))
	g.Expect(len(snapshotName(long, noon))).To(BeNumerically("<=", 57))
	g.Expect(restoreName("consul", noon.In(time.FixedZone("", 3600)))).To(Equal("consul-20260101-120000"))
	g.Expect(len(restoreName(long, noon))).To(BeNumerically("<=", 44))
}

func TestThePlanOfARestore(t *testing.T) {
	good := aSnapshot("nightly-29402880", 10*time.Hour)
	for name, test := range map[string]struct {
		change   func(*picture)
		snapshot *v1alpha1.ConsulSnapshot
		skip     bool
	}{
		"healthy":   {func(*picture) {}, good, false},
		"skip":      {func(*picture) {}, good, true},
		"not-ready": {upgrading3, good, false},
		"paused":    {func(p *picture) { p.Spec.Paused = true }, good, false},
		"another": {func(*picture) {}, aSnapshot("blue-20260101-080000", 4*time.Hour, func(s *v1alpha1.ConsulSnapshot) {
			s.Spec.ClusterName, s.Status.Version = "blue", ""
		}), false},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, "restore-"+name, planOfRestore(healthy(test.change).ConsulCluster, test.snapshot, test.skip, noon))
		})
	}
	c := healthy(func(*picture) {}).ConsulCluster
	golden(t, "restore-file", planOfRestoreFile(c, "consul.snap", "684Ki: index 1042, 512 keys, datacenter dc1"))
	restore := &v1alpha1.ConsulRestore{}
	restore.Namespace, restore.Spec.ClusterName = "default", "consul"
	golden(t, "restore-undo-none", undo(restore))
	restore.Status.SnapshotBefore = "consul-20260101-120000-before-1b2c3d4e"
	golden(t, "restore-undo", undo(restore))
}

func TestWhichSnapshotsCanBeRestored(t *testing.T) {
	g := NewWithT(t)
	g.Expect(isGood(aSnapshot("nightly", 0))).To(Succeed())
	g.Expect(isGood(aSnapshot("nightly", 0, failedSnapshot))).To(
		MatchError(ContainSubstring("StoreRefuses: the store says: access denied")))
	g.Expect(isGood(aSnapshot("nightly", 0, fresh))).To(MatchError(ContainSubstring("the operator has not looked at it yet")))
}

// What a person is told to do about a snapshot that failed is what the documentation says.
func TestWhatToDo(t *testing.T) {
	g := NewWithT(t)
	s := aSnapshot("nightly", 0, failedSnapshot)
	todo := task[*v1alpha1.ConsulSnapshot]{
		name: "snapshot", help: func(now *v1alpha1.ConsulSnapshot, why *metav1.Condition) string {
			return whatToDo(now, now.Status.CompletedAt, why)
		},
	}
	err := todo.needsPerson(s, &s.Status.Conditions[1])
	g.Expect(err).To(MatchError(MatchRegexp("^the snapshot needs you: the store says: access denied\nWhat to do: .+$")))
	g.Expect(exitCodeIn(err)).To(Equal(exitAttention))
	why := &metav1.Condition{Reason: "NobodyKnows", Message: "something"}
	g.Expect(todo.needsPerson(s, why)).To(MatchError("the snapshot needs you: something"))
	s.Status.CompletedAt = nil
	g.Expect(todo.needsPerson(s, why)).To(MatchError("the snapshot needs you: something\n" +
		"It goes on by itself once that is put right. To give it up: kubectl delete consulsnapshot nightly -n default"))
}

func exitCodeIn(err error) int {
	coded := &codedError{}
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFailed
}

// A file appears when all of it is there, for its owner only, and never in the place of another one.
func TestAFileThatIsKeptWhole(t *testing.T) {
	g := NewWithT(t)
	name := filepath.Join(t.TempDir(), "consul.snap")
	file, err := newWhole(name)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = file.WriteString("data")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(name).NotTo(BeAnExistingFile())
	_, err = newWhole(name)
	g.Expect(err).To(MatchError(ContainSubstring("consul.snap.part exists")))
	g.Expect(file.keep()).To(Succeed())
	file.discard() // as a command does at its end
	g.Expect(os.ReadFile(name)).To(BeEquivalentTo("data"))
	info, err := os.Stat(name)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
	g.Expect(name + part).NotTo(BeAnExistingFile())
	_, err = newWhole(name)
	g.Expect(err).To(MatchError(ContainSubstring("exists, and is not overwritten")))

	other := filepath.Join(t.TempDir(), "other.snap")
	file, err = newWhole(other)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(other, []byte("mine"), 0o600)).To(Succeed())
	g.Expect(file.keep()).To(MatchError(ContainSubstring("is not overwritten")), "it came meanwhile")
	file.discard()
	g.Expect(os.ReadFile(other)).To(BeEquivalentTo("mine"))
	g.Expect(other + part).NotTo(BeAnExistingFile())
	_, err = newWhole(filepath.Join(t.TempDir(), "no", "such.snap"))
	g.Expect(err).To(HaveOccurred())
}

// anArchive is a snapshot without a record.
func anArchive(t *testing.T) []byte {
	t.Helper()
	g := NewWithT(t)
	state := append([]byte{0x81, 0xa9}, append([]byte("LastIndex"), 7)...) // a map with one key
	meta := fmt.Sprintf(`{"Index": 7, "Term": 2, "Size": %d}`, len(state))
	sums := fmt.Sprintf("%x  meta.json\n%x  state.bin\n", sha256.Sum256([]byte(meta)), sha256.Sum256(state))
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	archive := tar.NewWriter(packed)
	for _, file := range []struct{ name, text string }{{"meta.json", meta}, {"state.bin", string(state)}, {"SHA256SUMS", sums}} {
		g.Expect(archive.WriteHeader(&tar.Header{Name: file.name, Size: int64(len(file.text)), Mode: 0o600})).To(Succeed())
		_, err := archive.Write([]byte(file.text))
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(archive.Close()).To(Succeed())
	g.Expect(packed.Close()).To(Succeed())
	return b.Bytes()
}

// Only what is whole is given to Consul.
func TestWhichFilesCanBeRestored(t *testing.T) {
	g := NewWithT(t)
	c := healthy(func(*picture) {}).ConsulCluster
	whole := anArchive(t)
	contents, err := fitting(c, bytes.NewReader(whole))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(contentsOf(contents, int64(len(whole)))).To(Equal(fmt.Sprintf("%d: index 7, 0 keys, datacenter -", len(whole))))
	for name, file := range map[string][]byte{
		"cut": whole[:len(whole)-1], "no snapshot": []byte("hello"), "empty": nil, "twice": append(bytes.Clone(whole), whole...),
	} {
		_, err := fitting(c, bytes.NewReader(file))
		g.Expect(err).To(HaveOccurred(), name)
	}
}

func TestSizes(t *testing.T) {
	g := NewWithT(t)
	for bytes, text := range map[int64]string{
		0: "0", 512: "512", 10239: "10239", 10240: "10Ki", 10241: "11Ki", 700123: "684Ki", 1 << 30: "1Gi",
	} {
		g.Expect(sized(bytes)).To(Equal(text))
	}
}
