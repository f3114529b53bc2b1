package snapshot

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/objectstore"
)

const (
	// mostMemory is how much a task may need, in KiB.
	mostMemory = 100 << 10
	// hugeState is the size of a state that is far larger, in values as large as Consul takes them
	// (https://developer.hashicorp.com/consul/docs/automate/kv).
	hugeState  = 2 << 30
	valueBytes = 512 << 10
	// hugeWithin is how long all takes at most.
	hugeWithin = 30 * time.Minute
)

// hugeRecord is a key with a value that cannot be compressed. All of them have the same size.
func hugeRecord(i int, from io.Reader) []byte {
	value := make([]byte, valueBytes)
	must(io.ReadFull(from, value))
	one := stateOf(record{2, map[string]any{"Key": fmt.Sprintf("keys/%08d", i), "Value": value}})
	return []byte(one[len(stateOf()):])
}

// streamHuge writes an archive of a state of so many bytes while it makes it. Its sums are in its last file, as in those of
// Consul.
func streamHuge(to io.Writer, state int) error {
	random := rand.NewChaCha8([32]byte{1})
	start := stateOf(record{0, aServer("consul-0", "")})
	records := state / valueBytes
	size := len(start) + records*len(hugeRecord(0, rand.NewChaCha8([32]byte{})))
	meta := fmt.Sprintf(`{"Version":1,"ID":"2-7-1","Index":7,"Term":2,"Size":%d}`, size)
	compressed, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	if err := addFile(archive, fileMeta, meta); err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: fileState, Size: int64(size), Mode: 0o600}); err != nil {
		return err
	}
	sum := sha256.New()
	both := io.MultiWriter(archive, sum)
	if _, err := io.WriteString(both, start); err != nil {
		return err
	}
	for i := range records {
		if _, err := both.Write(hugeRecord(i, random)); err != nil {
			return err
		}
	}
	sums := fmt.Sprintf("%x  %s\n%x  %s\n", sha256.Sum256([]byte(meta)), fileMeta, sum.Sum(nil), fileState)
	if err := addFile(archive, fileSums, sums); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return compressed.Close()
}

func addFile(archive *tar.Writer, name, text string) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600}); err != nil {
		return err
	}
	_, err := io.WriteString(archive, text)
	return err
}

// hugeConsul has a snapshot that no memory holds, and knows by their sums what it has sent and what it is to restore.
type hugeConsul struct {
	state           int // in bytes
	saved, restored chan string
}

func (c hugeConsul) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	if r.Method == http.MethodGet {
		if err := streamHuge(io.MultiWriter(w, sum), c.state); err == nil {
			c.saved <- hex.EncodeToString(sum.Sum(nil))
		}
		return
	}
	if _, err := io.Copy(sum, r.Body); err == nil {
		c.restored <- hex.EncodeToString(sum.Sum(nil))
	}
}

// However large a state is, it goes through little memory: it would have to fit into a pod otherwise.
func TestMemory(t *testing.T) {
	long(t)
	g := NewWithT(t)
	dir := t.TempDir()
	recipient, identity := newIdentity()
	g.Expect(writeFile(filepath.Join(dir, "identities"), identity)).To(Succeed())
	g.Expect(writeFile(filepath.Join(dir, "passphrase"), passphrase)).To(Succeed())
	t.Run("with keys", func(t *testing.T) {
		testMemory(t, hugeState, "--recipient="+recipient, "--identity-file="+filepath.Join(dir, "identities"))
	})
	// scryptWork adds to what all others need, however large the state is.
	t.Run("with a passphrase", func(t *testing.T) {
		testMemory(t, hugeState/8, "--passphrase-file="+filepath.Join(dir, "passphrase"))
	})
}

func testMemory(t *testing.T, state int, keys ...string) {
	t.Helper()
	g := NewWithT(t)
	store, err := objectstore.Start(t.Context(), "../../bin", t.TempDir(), "backups")
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(store.Stop)
	consul := hugeConsul{state: state, saved: make(chan string, 10), restored: make(chan string, 10)}
	server := httptest.NewServer(consul)
	t.Cleanup(server.Close)
	credentials := t.TempDir()
	g.Expect(objectstore.WriteCredentials(credentials)).To(Succeed())
	flags := append([]string{
		"--store=s3://backups", "--s3-endpoint=" + store.URL, "--s3-path-style", "--s3-credentials-dir=" + credentials,
		"--consul=" + server.URL, "--datacenter=dc1", "--version=1.22.7",
	}, keys...)
	ctx, cancel := context.WithTimeout(t.Context(), hugeWithin)
	defer cancel()
	for _, command := range []string{"save", "inspect", "restore"} {
		start := time.Now()
		out, err := taskOf(ctx, t, slices.Concat([]string{command}, flags, []string{"1.snap.age"})...).Output()
		g.Expect(err).NotTo(HaveOccurred(), "%s: %s", command, out)
		peak := peakOfProcess.FindSubmatch(out)
		g.Expect(peak).To(HaveLen(2), "%s", out)
		kilobytes, err := strconv.Atoi(string(peak[1]))
		g.Expect(err).NotTo(HaveOccurred())
		t.Logf("%s of a state of %d MiB: %d KiB of memory, %s", command, state>>20, kilobytes, time.Since(start).Round(time.Second))
		g.Expect(kilobytes).To(And(BeNumerically(">", 0), BeNumerically("<", mostMemory)), command)
	}
	var saved, restored string
	g.Expect(consul.saved).To(Receive(&saved))
	g.Expect(consul.restored).To(Receive(&restored))
	g.Expect(restored).To(Equal(saved))
	g.Expect(consul.saved).To(BeEmpty(), "it was saved once")
	g.Expect(consul.restored).To(BeEmpty(), "it was restored once")
	object, err := os.Stat(store.File("backups", "1.snap.age"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(object.Size()).To(BeNumerically(">", state), "it cannot be compressed")
}
