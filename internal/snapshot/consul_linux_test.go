package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
)

func binaryOf(t *testing.T, version string) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/consul-" + version)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("run `make tools`: %v", err)
	}
	return path
}

// realServer is a Consul server that leads.
func realServer(t *testing.T, version string) (Consul, *api.Client) {
	t.Helper()
	g := NewWithT(t)
	server, err := startServer(context.Background(), binaryOf(t, version), t.TempDir(), "dc1")
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(server.stop)
	client, err := api.NewClient(&api.Config{Address: server.address})
	g.Expect(err).NotTo(HaveOccurred())
	return Consul{Address: "http://" + server.address}, client
}

// fill writes something of each kind that people write.
func fill(t *testing.T, client *api.Client) {
	t.Helper()
	g := NewWithT(t)
	for i := range 100 {
		value := bytes.Repeat([]byte{byte(i)}, 1000*i)
		_, err := client.KV().Put(&api.KVPair{Key: fmt.Sprintf("keys/%d", i), Value: value}, nil)
		g.Expect(err).NotTo(HaveOccurred())
	}
	_, err := client.Catalog().Register(&api.CatalogRegistration{
		Node: "elsewhere", Address: "10.1.2.3", Service: &api.AgentService{Service: "web", Port: 80},
	}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	_, _, err = client.Session().CreateNoChecks(&api.SessionEntry{Node: "elsewhere"}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	_, _, err = client.PreparedQuery().Create(&api.PreparedQueryDefinition{
		Name: "web", Service: api.ServiceQuery{Service: "web"},
	}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	_, _, err = client.ConfigEntries().Set(&api.ServiceConfigEntry{
		Kind: api.ServiceDefaults, Name: "web", Protocol: "http",
	}, nil)
	g.Expect(err).NotTo(HaveOccurred())
}

// inspected is what Consul says of a snapshot.
func inspected(t *testing.T, binary, file string) Contents {
	t.Helper()
	g := NewWithT(t)
	out, err := exec.Command(binary, "snapshot", "inspect", "-format=json", file).Output()
	g.Expect(err).NotTo(HaveOccurred())
	var said struct {
		Meta  struct{ Index, Term uint64 }
		Stats []struct {
			Name  string
			Count int
		}
	}
	g.Expect(json.Unmarshal(out, &said)).To(Succeed())
	contents := Contents{Index: said.Meta.Index, Term: said.Meta.Term, Records: map[string]int{}}
	for _, kind := range said.Stats {
		contents.Records[kind.Name] = kind.Count
	}
	return contents
}

// What is saved is what Consul itself finds in it, and comes back.
func TestSaveVerifyAndRestore(t *testing.T) {
	for _, version := range []string{"1.19.2", "1.22.7"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			consul, client := realServer(t, version)
			fill(t, client)
			dir := t.TempDir()
			store, err := OpenFolder(dir)
			g.Expect(err).NotTo(HaveOccurred())
			task := Task{Consul: consul, Store: store, Name: "default/consul/1.snap"}
			saved, err := task.Save(t.Context())
			g.Expect(err).NotTo(HaveOccurred())

			said := inspected(t, binaryOf(t, version), filepath.Join(dir, task.Name))
			g.Expect(saved.Records).To(Equal(said.Records))
			g.Expect([]uint64{saved.Index, saved.Term}).To(Equal([]uint64{said.Index, said.Term}))
			g.Expect(saved.Records["KVS"]).To(Equal(100))
			g.Expect(saved.Datacenter).To(Equal("dc1"))
			g.Expect(saved.Servers).To(HaveExactElements(HaveField("Version", version)))
			_, err = task.Verify(t.Context(), binaryOf(t, version))
			g.Expect(err).NotTo(HaveOccurred())

			_, err = client.KV().DeleteTree("keys/", nil)
			g.Expect(err).NotTo(HaveOccurred())
			restored, err := task.Restore(t.Context(), Fit{Datacenter: "dc1", Version: version})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(restored.SHA256).To(Equal(saved.SHA256))
			keys, _, err := client.KV().Keys("keys/", "", nil)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(keys).To(HaveLen(100))
		})
	}
}

// A snapshot that is not of the cluster, or not whole, changes nothing.
func TestRestoreOfWhatDoesNotFit(t *testing.T) {
	g := NewWithT(t)
	consul, client := realServer(t, "1.22.7")
	store, err := OpenFolder(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	recipient, identity := newIdentity()
	keys, err := NewKeys([]string{recipient}, []byte(identity))
	g.Expect(err).NotTo(HaveOccurred())
	task := Task{Consul: consul, Store: store, Keys: keys, Name: "1.snap.age"}
	_, err = task.Save(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	plain := Task{Consul: consul, Store: store, Name: "plain"}
	_, err = plain.Save(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	_, err = client.KV().Put(&api.KVPair{Key: "later"}, nil)
	g.Expect(err).NotTo(HaveOccurred())

	type attempt struct {
		task Task
		fit  Fit
		want reason.Reason
	}
	attempts := map[string]attempt{
		"of another datacenter": {task, Fit{Datacenter: "dc2", Version: "1.22.7"}, reason.SnapshotUnfit},
		"of a newer version":    {task, Fit{Datacenter: "dc1", Version: "1.19.2"}, reason.SnapshotUnfit},
		"without its key":       {Task{Consul: consul, Store: store, Name: "1.snap.age"}, fits, reason.SnapshotKeyMissing},
		"that is not there":     {Task{Consul: consul, Store: store, Name: "2.snap"}, fits, reason.SnapshotMissing},
		"that is damaged": {
			Task{Consul: consul, Store: damaged{store}, Keys: keys, Name: "1.snap.age"}, fits, reason.SnapshotDamaged,
		},
		"that changes on the way": {Task{Consul: consul, Store: &changing{Store: store}, Name: "plain"}, fits, reason.SnapshotDamaged},
		"that is not encrypted":   {Task{Consul: consul, Store: store, Keys: keys, Name: "plain"}, fits, reason.SnapshotUnfit},
		"with another sum": {
			Task{Consul: consul, Store: store, Keys: keys, Name: "1.snap.age", SHA256: "ab"}, fits, reason.SnapshotDamaged,
		},
	}
	for name, text := range foreign(whole(t, store, "plain")) {
		g.Expect(put(t.Context(), store, name, text)).To(Succeed())
		g.Expect(put(t.Context(), store, name+".age", encryptedText(keys, text))).To(Succeed())
		attempts["that is "+name] = attempt{Task{Consul: consul, Store: store, Name: name}, fits, reason.SnapshotDamaged}
		attempts["that is encrypted and "+name] = attempt{
			Task{Consul: consul, Store: store, Keys: keys, Name: name + ".age"}, fits, reason.SnapshotDamaged,
		}
		attempts["that is not encrypted and "+name] = attempt{
			Task{Consul: consul, Store: store, Keys: keys, Name: name}, fits, reason.SnapshotUnfit,
		}
	}
	for name, c := range attempts {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := c.task.Restore(t.Context(), c.fit)
			g.Expect(reasonOf(err)).To(Equal(c.want), "%v", err)
			pair, _, err := client.KV().Get("later", nil)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(pair).NotTo(BeNil(), "nothing was restored")
		})
	}
}

// A cluster without a leader is waited for, and one that refuses is not.
func TestSaveWaitsForALeader(t *testing.T) {
	g := NewWithT(t)
	store, err := OpenFolder(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	task := Task{Consul: Consul{Address: "http://127.0.0.1:1"}, Store: store, Name: "1.snap"}
	_, err = task.Save(ctx)
	g.Expect(reasonOf(err)).To(Equal(reason.ConsulUnreachable))
	g.Expect(ctx.Err()).To(HaveOccurred(), "it went on trying")
	task.Consul = Consul{Address: "http://127.0.0.1:1", TokenFile: filepath.Join(t.TempDir(), "missing")}
	synctest.Test(t, func(t *testing.T) { // it may be made again: minutes pass
		_, err := task.Save(t.Context())
		g.Expect(reasonOf(err)).To(Equal(reason.ConsulRefuses))
		g.Expect(err).To(MatchError(ContainSubstring("missing")))
	})
}
