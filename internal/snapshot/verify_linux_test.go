package snapshot

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
)

// unpacked are the files of an archive.
func unpacked(t *testing.T, text []byte) map[string]string {
	t.Helper()
	g := NewWithT(t)
	compressed, err := gzip.NewReader(bytes.NewReader(text))
	g.Expect(err).NotTo(HaveOccurred())
	files := map[string]string{}
	for archive := tar.NewReader(compressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		g.Expect(err).NotTo(HaveOccurred())
		text, err := io.ReadAll(archive)
		g.Expect(err).NotTo(HaveOccurred())
		files[header.Name] = string(text)
	}
}

// with is an archive with more records, which is as whole as it was.
func with(t *testing.T, text []byte, more ...record) []byte {
	t.Helper()
	g := NewWithT(t)
	files := unpacked(t, text)
	added := stateOf(more...)[len(stateOf()):] // without the header
	state := files[fileState] + added
	var meta map[string]any
	numbers := json.NewDecoder(bytes.NewReader([]byte(files[fileMeta])))
	numbers.UseNumber()
	g.Expect(numbers.Decode(&meta)).To(Succeed())
	meta["Size"] = len(state)
	changed, err := json.Marshal(meta)
	g.Expect(err).NotTo(HaveOccurred())
	return archiveOf(packed{fileMeta, string(changed)}, packed{fileState, state})
}

// A snapshot is verified by what a server has of it, and not only by what is in it.
func TestVerifyFindsWhatAServerDoesNotRestore(t *testing.T) {
	long(t)
	g := NewWithT(t)
	const version = "1.22.7"
	consul, client := realServer(t, version)
	_, err := client.KV().Put(&api.KVPair{Key: "a"}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	store := newFolder(t)
	_, err = Task{Consul: consul, Store: store, Name: "saved"}.Save(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	saved := whole(t, store, "saved")
	key := func(name string) record {
		return record{2, map[string]any{"Key": name, "Value": []byte("1"), "CreateIndex": 5, "ModifyIndex": 5}}
	}
	for name, c := range map[string]struct {
		store Store
		want  string // empty if it is good
	}{
		"two keys":              {&shelf{text: with(t, saved, key("b"), key("c"))}, ""},
		"a key is there twice":  {&shelf{text: with(t, saved, key("b"), key("b"))}, "2 instead of 3 of kind KVS"},
		"a saved key once more": {&shelf{text: with(t, saved, key("a"))}, "1 instead of 2 of kind KVS"},
		"damaged":               {damaged{&shelf{text: saved}}, "gzip"},
		"cut":                   {&shelf{text: saved[:len(saved)-1]}, "EOF"},
		"empty":                 {&shelf{}, "EOF"},
		"changed meanwhile":     {&shelf{text: saved, then: with(t, saved, key("b"))}, "SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			verified, err := Task{Store: c.store, Name: "1.snap"}.Verify(t.Context(), binaryOf(t, version))
			if c.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(verified.Records["KVS"]).To(Equal(3))
				return
			}
			g.Expect(reasonOf(err)).To(Equal(reason.SnapshotDamaged), "%v", err)
			g.Expect(err).To(MatchError(ContainSubstring(c.want)))
			g.Expect(verified).To(BeNil())
		})
	}
}

// through is a Consul that is reached through a handler that may disturb it.
func through(t *testing.T, consul Consul, disturb func(next http.Handler) http.Handler) Consul {
	t.Helper()
	to, err := url.Parse(consul.Address)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	between := httptest.NewServer(disturb(httputil.NewSingleHostReverseProxy(to)))
	t.Cleanup(between.Close)
	consul.Address = between.URL
	return consul
}

// passesHalf passes half of what is sent on, and closes both connections.
func passesHalf(next http.Handler, _ http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	half := io.LimitReader(bytes.NewReader(text), int64(len(text)/2))
	r.Body = io.NopCloser(io.MultiReader(half, failing{errors.New("the connection is closed")}))
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// Connections that break off hand no half of a snapshot to anybody.
func TestConsulBehindABadNetwork(t *testing.T) {
	long(t)
	g, ctx := NewWithT(t), soon(t)
	consul, client := realServer(t, "1.22.7")
	fill(t, client)
	store := newFolder(t)
	cut := &disturbance{to: isRead, by: breaksOff, times: 1}
	_, err := Task{Consul: through(t, consul, cut.before), Store: store, Name: "1.snap"}.Save(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(cut.seen.Load()).To(BeNumerically(">", 1))
	_, err = client.KV().Put(&api.KVPair{Key: "later"}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	hasLater := func() bool {
		pair, _, err := client.KV().Get("later", nil)
		g.Expect(err).NotTo(HaveOccurred())
		return pair != nil
	}

	halved := &disturbance{to: isWrite, by: passesHalf, times: 1}
	task := Task{Consul: through(t, consul, halved.before), Store: store, Name: "1.snap"}
	_, err = task.restoreOnce(ctx)
	g.Expect(err).To(HaveOccurred())
	g.Expect(hasLater()).To(BeTrue(), "nothing was restored")

	lost := &disturbance{to: isWrite, by: losesAnswer, times: 1}
	task.Consul = through(t, consul, lost.before)
	given, err := task.restoreOnce(ctx)
	g.Expect(given).To(BeTrue())
	g.Expect(err).To(HaveOccurred())
	g.Expect(hasLater()).To(BeFalse(), "it was restored, and nobody said so")

	_, err = client.KV().Put(&api.KVPair{Key: "later"}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = task.Restore(ctx, fits)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(hasLater()).To(BeFalse())
	keys, _, err := client.KV().Keys("keys/", "", nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(keys).To(HaveLen(100))
}
