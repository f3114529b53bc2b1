package integration

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/objectstore"
)

// A cluster is saved to an object store, encrypted, and verified by a restore; before an upgrade it is saved by itself. Then what
// was written since is taken back, under load, after tokens were rotated, the authority of the service mesh was replaced and a
// setting of autopilot was changed.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	const name = "saved"
	store := startStore(t)
	key := store.secrets(t, name)
	s := begin(t, shared, name, func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge, spec.Snapshots = 3, store.snapshots(name, key)
	})
	s.put("before", "kept")
	s.lock("then", 10*time.Second)
	root := s.root()
	s.take("first", v1alpha1.VerifyRestore)
	first := s.snapshot("first")
	s.Expect(first.Status.Keys).To(BeNumerically(">", 0))
	s.Expect(first.Status.Version).To(Equal(older))
	s.Expect(first.Status.Encrypted).To(BeTrue())

	s.put("after", "lost")
	s.replaceRoot(root)
	s.patch(func(c *v1alpha1.ConsulCluster) {
		c.Spec.Version, c.Spec.Config = newest, &v1alpha1.Config{Raw: []byte(`{"autopilot": {"server_stabilization_time": "2s"}}`)}
	})
	s.reach("upgraded", 4*time.Minute)
	s.Expect(s.snapshots()).To(ContainElement(HaveField("ObjectMeta.Name", HavePrefix(name+"-before-"))), "before the upgrade")
	former := s.managementToken()
	s.rotateTokens()
	s.end(1)

	s.restoreUnderLoad(name+"-back", first)
	s.Expect(s.get("before")).To(Equal("kept"))
	s.Expect(s.get("after")).To(BeEmpty())
	s.expectRefused(former, "Permission denied") // the snapshot has it with all rights
	s.Expect(s.root()).To(Equal(root))
	s.expectLeaf(root)
	s.Eventually(func(g Gomega) {
		settings, err := s.admin().Operator().AutopilotGetConfiguration(nil)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(settings.ServerStabilizationTime.String()).To(Equal("2s"))
	}, time.Minute, 100*time.Millisecond).Should(Succeed())
	s.Eventually(func() string { return s.holder("then") }, time.Minute, time.Second).Should(BeEmpty(),
		"a session of the snapshot that nobody renews runs out")
	s.expectCatalog()
}

// A schedule keeps the last snapshot, and a new cluster begins with it.
func TestAScheduleAndANewCluster(t *testing.T) {
	long(t)
	const name = "scheduled"
	store := startStore(t)
	key := store.secrets(t, name)
	s := begin(t, shared, name, func(spec *v1alpha1.ConsulClusterSpec) {
		spec.Version, spec.Replicas, spec.Snapshots = newest, 1, store.snapshots(name, key)
	})
	s.put("before", "kept")
	last := s.keepTheLast(store, name+"-often")

	another := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Name: name + "-again", Namespace: s.Key.Namespace}}
	another.Spec = v1alpha1.ConsulClusterSpec{
		Version: newest, Storage: v1alpha1.Storage{Size: resource.MustParse("1Gi")}, Snapshots: store.snapshots(name, key),
		Bootstrap: v1alpha1.Bootstrap{FromSnapshot: &v1alpha1.SnapshotSource{Object: last.Status.Object}},
	}
	begun := &story{WithT: s.WithT, Scene: shared.Scene(client.ObjectKeyFromObject(another)), t: t}
	begun.Expect(begun.Create(t.Context(), another)).To(Succeed())
	t.Cleanup(func() { _ = shared.Client.Delete(t.Context(), another) })
	begun.reach("begun with a snapshot", 4*time.Minute)
	begun.Expect(begun.get("before")).To(Equal("kept"))
	begun.expectCatalog()
}

// restoreUnderLoad restores a snapshot while clients write, and prints what they see. What they were told before the snapshot and
// after the restore is there (I8), and nobody else leads. A lock that was taken since the snapshot is gone, and who has it is
// told.
func (s *story) restoreUnderLoad(name string, from *v1alpha1.ConsulSnapshot) {
	s.t.Helper()
	under := &story{WithT: s.WithT, Scene: s.Env.Scene(s.Key), t: s.t}
	s.t.Cleanup(func() { _ = under.Close() })
	s.Expect(under.Observe(s.t.Context(), 3)).To(Succeed())
	s.Expect(under.StartClients(s.t.Context(), harness.Clients{
		Options: load.Options{Writers: 2, Rate: 50}, LockName: name,
	})).To(Succeed())
	written := func(n int) {
		from := under.Load.Counters().Acknowledged
		s.Eventually(func() int { return under.Load.Counters().Acknowledged - from }, time.Minute, 100*time.Millisecond).
			Should(BeNumerically(">=", n))
	}
	written(100)
	restore := &v1alpha1.ConsulRestore{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Key.Namespace}}
	restore.Spec = v1alpha1.ConsulRestoreSpec{ClusterName: s.Key.Name, From: v1alpha1.SnapshotSource{SnapshotName: from.Name}}
	s.Expect(s.Client.Create(s.t.Context(), restore)).To(Succeed())
	s.await(restore, 5*time.Minute)
	s.Expect(s.snapshot(restore.Status.SnapshotBefore).Status.Verified).NotTo(BeEmpty(), "the present data was saved first")
	written(100)
	under.Load.Rewound(from.Status.StartedAt.Time, restore.Status.RestoredAt.Add(time.Second)) // it is in whole seconds
	seen, err := under.End(s.t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	all := seen.Load.All
	s.t.Logf("restore under load: %d of %d writes failed %v, longest gap %s, %d leader changes", all.Failed, all.Attempts(),
		all.Classes, all.Gap.Length().Round(time.Millisecond), seen.Timeline.LeaderChanges)
	s.Expect(seen.Verified.Lost).To(BeEmpty(), invariant.I8.String())
	s.Expect(seen.LockLost).To(HaveOccurred(), "it was taken since the snapshot")
	under.expectNoViolation(seen.Timeline)
	s.Expect(seen.Timeline.HandedOver(0)).To(Succeed(), invariant.I3.String())
}

// keepTheLast takes a snapshot each minute until the object of the first one is deleted, as the second one is there, and
// returns the last one.
func (s *story) keepTheLast(store aStore, name string) *v1alpha1.ConsulSnapshot {
	s.t.Helper()
	schedule := &v1alpha1.ConsulSnapshotSchedule{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Key.Namespace}}
	schedule.Spec = v1alpha1.ConsulSnapshotScheduleSpec{
		ClusterName: s.Key.Name, Schedule: "* * * * *", Immediate: true, Retention: &v1alpha1.SnapshotRetention{Last: 1},
	}
	s.Expect(s.Client.Create(s.t.Context(), schedule)).To(Succeed())
	good := func(not string) (name string) {
		s.Eventually(func(g Gomega) {
			g.Expect(s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(schedule), schedule)).To(Succeed())
			g.Expect(schedule.Status.LastSucceeded).NotTo(BeElementOf("", not))
		}, 3*time.Minute, 100*time.Millisecond).Should(Succeed())
		return schedule.Status.LastSucceeded
	}
	first := s.snapshot(good(""))
	s.Expect(store.File("backups", first.Status.Object)).To(BeAnExistingFile())
	second := s.snapshot(good(first.Name))
	s.Eventually(func() error {
		return s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(first), &v1alpha1.ConsulSnapshot{})
	}, time.Minute, 100*time.Millisecond).Should(MatchError(apierrors.IsNotFound, "it is gone"))
	s.Expect(store.File("backups", first.Status.Object)).NotTo(BeAnExistingFile(), "and its object went first")
	suspend := client.RawPatch(types.MergePatchType, []byte(`{"spec": {"suspend": true}}`))
	s.Expect(s.Client.Patch(s.t.Context(), schedule, suspend)).To(Succeed())
	return second
}

// lock has a session of its own hold a key. Nobody renews it.
func (s *story) lock(key string, ttl time.Duration) {
	s.t.Helper()
	id, _, err := s.admin().Session().CreateNoChecks(&api.SessionEntry{TTL: ttl.String(), LockDelay: time.Nanosecond}, nil)
	s.Expect(err).NotTo(HaveOccurred())
	held, _, err := s.admin().KV().Acquire(&api.KVPair{Key: key, Session: id}, nil)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(held).To(BeTrue())
}

// holder is the session that holds a key; empty if none does.
func (s *story) holder(key string) string {
	s.t.Helper()
	pair, _, err := s.admin().KV().Get(key, nil)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(pair).NotTo(BeNil())
	return pair.Session
}

// root is the id of the authority of the service mesh that issues certificates.
func (s *story) root() string {
	s.t.Helper()
	roots, _, err := s.admin().Connect().CARoots(nil)
	s.Expect(err).NotTo(HaveOccurred())
	return roots.ActiveRootID
}

// replaceRoot has the service mesh get another authority: for keys of another kind it needs one.
func (s *story) replaceRoot(former string) {
	s.t.Helper()
	_, err := s.admin().Connect().CASetConfig(&api.CAConfig{
		Provider: "consul", Config: map[string]any{"PrivateKeyType": "rsa", "PrivateKeyBits": 2048},
	}, nil)
	s.Expect(err).NotTo(HaveOccurred())
	s.Eventually(s.root, time.Minute, 100*time.Millisecond).ShouldNot(Equal(former))
}

// expectLeaf has the service mesh issue a certificate that its authority of this id has signed.
func (s *story) expectLeaf(root string) {
	s.t.Helper()
	roots, _, err := s.admin().Connect().CARoots(nil)
	s.Expect(err).NotTo(HaveOccurred())
	pool := x509.NewCertPool()
	for _, r := range roots.Roots {
		s.Expect(r.ID != root || pool.AppendCertsFromPEM([]byte(r.RootCertPEM))).To(BeTrue())
	}
	leaf, _, err := s.admin().Agent().ConnectCALeaf("web", nil)
	s.Expect(err).NotTo(HaveOccurred())
	block, _ := pem.Decode([]byte(leaf.CertPEM))
	certificate, err := x509.ParseCertificate(block.Bytes)
	s.Expect(err).NotTo(HaveOccurred())
	_, err = certificate.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	s.Expect(err).NotTo(HaveOccurred())
}

// aStore is an object store of a story.
type aStore struct{ *objectstore.Store }

func startStore(t *testing.T) aStore {
	t.Helper()
	g := NewWithT(t)
	root, err := harness.Root()
	g.Expect(err).NotTo(HaveOccurred())
	store, err := objectstore.Start(t.Context(), filepath.Join(root, "bin"), t.TempDir(), "backups")
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(store.Stop)
	return aStore{store}
}

// secrets creates the Secrets with the credentials of the store and with a private key, and returns the public one.
func (a aStore) secrets(t *testing.T, name string) (recipient string) {
	t.Helper()
	g := NewWithT(t)
	identity, err := age.GenerateX25519Identity()
	g.Expect(err).NotTo(HaveOccurred())
	for suffix, data := range map[string]map[string]string{
		"-store": {"accessKeyId": objectstore.AccessKeyID, "secretAccessKey": objectstore.SecretAccessKey},
		"-age":   {"key": identity.String()},
	} {
		g.Expect(shared.Client.Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name + suffix, Namespace: "default"}, StringData: data,
		})).To(Succeed())
	}
	return identity.Recipient().String()
}

func (a aStore) snapshots(name, recipient string) v1alpha1.Snapshots {
	return v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{S3: &v1alpha1.S3Destination{
			Bucket: "backups", Endpoint: a.URL, PathStyle: true, CredentialsSecretRef: &v1alpha1.SecretName{Name: name + "-store"},
		}},
		Encryption: &v1alpha1.SnapshotEncryption{
			Recipients: []string{recipient}, IdentitySecretRef: &v1alpha1.SecretKey{Name: name + "-age"},
		},
	}
}

// take takes a snapshot.
func (s *story) take(name string, verify v1alpha1.SnapshotVerification) {
	s.t.Helper()
	snapshot := &v1alpha1.ConsulSnapshot{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Key.Namespace}}
	snapshot.Spec = v1alpha1.ConsulSnapshotSpec{ClusterName: s.Key.Name, Verify: verify}
	s.Expect(s.Client.Create(s.t.Context(), snapshot)).To(Succeed())
	s.await(snapshot, 2*time.Minute)
}

func (s *story) snapshot(name string) *v1alpha1.ConsulSnapshot {
	s.t.Helper()
	snapshot := &v1alpha1.ConsulSnapshot{}
	s.Expect(s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.Key.Namespace, Name: name}, snapshot)).To(Succeed())
	return snapshot
}

func (s *story) snapshots() []v1alpha1.ConsulSnapshot {
	s.t.Helper()
	var all v1alpha1.ConsulSnapshotList
	s.Expect(s.Client.List(s.t.Context(), &all, client.InNamespace(s.Key.Namespace))).To(Succeed())
	return all.Items
}

// await waits until a ConsulSnapshot or a ConsulRestore is Ready, and tells what it says on the way.
func (s *story) await(o client.Object, limit time.Duration) {
	s.t.Helper()
	said, start := "", time.Now()
	s.Eventually(func(g Gomega) {
		g.Expect(s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o)).To(Succeed())
		conditions := conditionsOf(o)
		ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
		g.Expect(ready).NotTo(BeNil())
		if says := fmt.Sprintf("%s: %s", ready.Reason, ready.Message); says != said {
			said = says
			s.t.Logf("%5.1fs %s: %s", time.Since(start).Seconds(), o.GetName(), says)
		}
		if meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled) {
			StopTrying(said).Now()
		}
		g.Expect(ready.Status).To(Equal(metav1.ConditionTrue))
	}, limit, 100*time.Millisecond).Should(Succeed())
}

func conditionsOf(o client.Object) []metav1.Condition {
	switch o := o.(type) {
	case *v1alpha1.ConsulSnapshot:
		return o.Status.Conditions
	case *v1alpha1.ConsulRestore:
		return o.Status.Conditions
	}
	panic(fmt.Sprintf("%T", o))
}

func (s *story) put(key, value string) {
	s.t.Helper()
	_, err := s.admin().KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil)
	s.Expect(err).NotTo(HaveOccurred())
}

// get is the value of a key; empty if there is none.
func (s *story) get(key string) string {
	s.t.Helper()
	pair, _, err := s.admin().KV().Get(key, &api.QueryOptions{RequireConsistent: true})
	s.Expect(err).NotTo(HaveOccurred())
	if pair == nil {
		return ""
	}
	return string(pair.Value)
}

// expectCatalog has the catalog list the servers of the cluster, by their ids, and no others.
func (s *story) expectCatalog() {
	s.t.Helper()
	nodes, _, err := s.admin().Catalog().Service("consul", "", nil)
	s.Expect(err).NotTo(HaveOccurred())
	listed := map[string]string{}
	for _, node := range nodes {
		listed[node.Node] = node.ID
	}
	wanted := map[string]string{}
	for _, server := range s.cluster().Status.Servers {
		wanted[server.Name] = server.ID
	}
	s.Expect(listed).To(Equal(wanted))
}

// No server of another version comes without a snapshot, until a person says otherwise. A snapshot that was damaged in the store
// replaces nothing, and no new cluster begins with it, as a drill finds out; nor does one of another datacenter.
func TestSnapshotsThatCannotBeUsed(t *testing.T) {
	long(t)
	const name = "unsaved"
	store := startStore(t)
	snapshots := store.snapshots(name, store.secrets(t, name))
	s := begin(t, shared, name, func(spec *v1alpha1.ConsulClusterSpec) {
		soonVoters(spec)
		spec.Update.MaxSurge, spec.Snapshots = 3, *snapshots.DeepCopy()
		spec.Snapshots.Destination.S3.Bucket = "there-is-none"
	})
	s.patch(toVersion(newest))
	s.until("the upgrade needs a snapshot", func(c *v1alpha1.ConsulCluster) bool {
		ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == string(reason.SnapshotNeeded)
	})
	s.Expect(s.cluster().Status.Version).To(Equal(older))
	s.Expect(s.cluster().Status.Servers).To(HaveLen(3), "no server is added")
	s.patch(annotated(v1alpha1.AnnotationSkipSnapshot, newest))
	s.reach("upgraded without one", 4*time.Minute)
	s.end(1)

	s.patch(func(c *v1alpha1.ConsulCluster) { c.Spec.Snapshots = snapshots })
	s.put("present", "kept")
	s.take(name+"-good", v1alpha1.VerifyArchive)
	taken := s.snapshot(name + "-good")
	file := store.File("backups", taken.Status.Object)
	content, err := os.ReadFile(file) //nolint:gosec // of our own store
	s.Expect(err).NotTo(HaveOccurred())
	content[len(content)/2] ^= 1
	s.Expect(os.WriteFile(file, content, 0o600)).To(Succeed())
	before := s.processes()
	restore := &v1alpha1.ConsulRestore{ObjectMeta: metav1.ObjectMeta{Name: name + "-bad", Namespace: s.Key.Namespace}}
	restore.Spec = v1alpha1.ConsulRestoreSpec{ClusterName: name, From: v1alpha1.SnapshotSource{SnapshotName: taken.Name}}
	s.Expect(s.Client.Create(t.Context(), restore)).To(Succeed())
	s.Eventually(func(g Gomega) {
		g.Expect(s.Client.Get(t.Context(), client.ObjectKeyFromObject(restore), restore)).To(Succeed())
		g.Expect(meta.FindStatusCondition(restore.Status.Conditions, v1alpha1.ConditionStalled)).To(And(
			HaveField("Status", metav1.ConditionTrue), HaveField("Reason", string(reason.SnapshotDamaged)),
			HaveField("Message", HaveSuffix("nothing was changed"))))
	}, 2*time.Minute, 100*time.Millisecond).Should(Succeed())
	s.reach("as it was", time.Minute)
	s.Expect(s.get("present")).To(Equal("kept"))
	s.Expect(s.processes()).To(Equal(before))

	s.drill(name+"-drill", snapshots, taken.Status.Object, "", reason.SnapshotDamaged)
	s.take(name+"-other", v1alpha1.VerifyArchive)
	s.drill(name+"-elsewhere", snapshots, s.snapshot(name+"-other").Status.Object, "dc2", reason.SnapshotUnfit)
}

// drill has a new cluster begin with an object that cannot be restored: no server is created, and the cluster says why.
func (s *story) drill(name string, snapshots v1alpha1.Snapshots, object, datacenter string, why reason.Reason) {
	s.t.Helper()
	c := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Key.Namespace}}
	c.Spec = v1alpha1.ConsulClusterSpec{
		Version: newest, Datacenter: datacenter, Storage: v1alpha1.Storage{Size: resource.MustParse("1Gi")}, Snapshots: snapshots,
		Bootstrap: v1alpha1.Bootstrap{FromSnapshot: &v1alpha1.SnapshotSource{Object: object}},
	}
	begun := &story{WithT: s.WithT, Scene: shared.Scene(client.ObjectKeyFromObject(c)), t: s.t}
	begun.Expect(begun.Create(s.t.Context(), c)).To(Succeed())
	s.t.Cleanup(func() { _ = shared.Client.Delete(context.Background(), c) })
	begun.until("it says why", func(c *v1alpha1.ConsulCluster) bool {
		ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == string(why)
	})
	begun.Expect(begun.count(&corev1.PersistentVolumeClaimList{})).To(BeZero(), "no server is created")
}
