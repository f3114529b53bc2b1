package snapshot

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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

// taskVariable has the test's program be a task in a process of its own, and holds its arguments.
const taskVariable = "SNAPSHOT_TASK"

// hugeRecord is a key with a value that cannot be compressed. All of them have the same size.
func hugeRecord(i int, from io.Reader) []byte {
	value := make([]byte, valueBytes)
	must(io.ReadFull(from, value))
	one := stateOf(record{2, map[string]any{"Key": fmt.Sprintf("keys/%08d", i), "Value": value}})
	return []byte(one[len(stateOf()):])
}

// streamHuge writes an archive while it makes it. Its sums are in its last file, as in those of Consul.
func streamHuge(to io.Writer) error {
	random := rand.NewChaCha8([32]byte{1})
	start := stateOf(record{0, aServer("consul-0", "")})
	records := hugeState / valueBytes
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
	state := io.MultiWriter(archive, sum)
	if _, err := io.WriteString(state, start); err != nil {
		return err
	}
	for i := range records {
		if _, err := state.Write(hugeRecord(i, random)); err != nil {
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
	saved, restored chan string
}

func (c hugeConsul) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	if r.Method == http.MethodGet {
		if err := streamHuge(io.MultiWriter(w, sum)); err == nil {
			c.saved <- hex.EncodeToString(sum.Sum(nil))
		}
		return
	}
	if _, err := io.Copy(sum, r.Body); err == nil {
		c.restored <- hex.EncodeToString(sum.Sum(nil))
	}
}

// runTask runs a task, and prints how much memory this process has needed.
func runTask(t *testing.T, args string) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(Run(t.Context(), strings.Fields(args), os.Stdout, os.Stderr)).To(Succeed())
	status, err := os.ReadFile("/proc/self/status")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = os.Stdout.Write(peakOfProcess.Find(status))
	g.Expect(err).NotTo(HaveOccurred())
}

// peakOfProcess is the most memory that a process has had, which the kernel remembers.
var peakOfProcess = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// However large a state is, it goes through little memory: it would have to fit into a pod otherwise.
func TestMemory(t *testing.T) {
	if args := os.Getenv(taskVariable); args != "" {
		runTask(t, args)
		return
	}
	long(t)
	g := NewWithT(t)
	store, err := objectstore.Start(t.Context(), "../../bin", t.TempDir(), "backups")
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(store.Stop)
	consul := hugeConsul{saved: make(chan string, 10), restored: make(chan string, 10)}
	server := httptest.NewServer(consul)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	g.Expect(objectstore.WriteCredentials(dir)).To(Succeed())
	recipient, identity := newIdentity()
	identities := filepath.Join(dir, "identities")
	g.Expect(writeFile(identities, identity)).To(Succeed())
	flags := strings.Join([]string{
		"--store=s3://backups", "--s3-endpoint=" + store.URL, "--s3-path-style", "--s3-credentials-dir=" + dir,
		"--consul=" + server.URL, "--recipient=" + recipient, "--identity-file=" + identities, "--datacenter=dc1", "--version=1.22.7",
		"1.snap.age",
	}, " ")
	own, err := os.Executable()
	g.Expect(err).NotTo(HaveOccurred())
	for _, task := range []string{"save", "inspect", "restore"} {
		child := exec.CommandContext(t.Context(), own, "-test.run=^TestMemory$", "-test.count=1", "-test.timeout="+hugeWithin.String())
		child.Env = append(os.Environ(), taskVariable+"="+task+" "+flags)
		child.Stderr = t.Output()
		start := time.Now()
		out, err := child.Output()
		g.Expect(err).NotTo(HaveOccurred(), "%s: %s", task, out)
		peak := peakOfProcess.FindSubmatch(out)
		g.Expect(peak).To(HaveLen(2), "%s", out)
		kilobytes, err := strconv.Atoi(string(peak[1]))
		g.Expect(err).NotTo(HaveOccurred())
		t.Logf("%s of a state of %d MiB: %d KiB of memory, %s", task, hugeState>>20, kilobytes, time.Since(start).Round(time.Second))
		g.Expect(kilobytes).To(And(BeNumerically(">", 0), BeNumerically("<", mostMemory)), task)
	}
	var saved, restored string
	g.Expect(consul.saved).To(Receive(&saved))
	g.Expect(consul.restored).To(Receive(&restored))
	g.Expect(restored).To(Equal(saved))
	g.Expect(consul.saved).To(BeEmpty(), "it was saved once")
	g.Expect(consul.restored).To(BeEmpty(), "it was restored once")
	object, err := os.Stat(store.File("backups", "1.snap.age"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(object.Size()).To(BeNumerically(">", hugeState), "it cannot be compressed")
}
