package consul

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
)

// A thousand idle clusters wait for two thousand answers: each in one goroutine, with as little stack as possible.
func TestWatchesOfIdleClustersTakeLittleMemory(t *testing.T) {
	g := NewWithT(t)
	const clusters, perCluster = 300, 2
	agent := listenForWatches(t)
	w := NewWatcher(NewDialer(0), func(types.NamespacedName) {}, logr.Discard())
	goroutines, stacks := runtime.NumGoroutine(), stackBytes()
	for i := range clusters {
		target := Target{Address: agent.address}
		w.Follow(types.NamespacedName{Name: fmt.Sprint(i)}, target, []Target{target})
	}
	defer w.Close()
	g.Eventually(agent.open, 30*time.Second, 10*time.Millisecond).Should(Equal(perCluster * clusters))
	g.Eventually(runtime.NumGoroutine, 10*time.Second, 10*time.Millisecond).
		Should(BeNumerically("<=", goroutines+perCluster*clusters))
	g.Eventually(stackBytes, 30*time.Second, 100*time.Millisecond).
		Should(BeNumerically("<", stacks+perCluster*clusters*10<<10), "4 or 8 KiB each")
}

// stackBytes is what all stacks take, after those were made smaller that are larger than necessary.
func stackBytes() int {
	for range 4 { // each halves them
		runtime.GC()
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64()) //nolint:gosec // no more than the machine has
}

// watchedAgent takes requests that stay open, and has no goroutine for each.
type watchedAgent struct {
	address string

	mu    sync.Mutex
	conns []net.Conn
}

func (a *watchedAgent) open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.conns)
}

func listenForWatches(t *testing.T) *watchedAgent {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	a := &watchedAgent{address: listener.Addr().String()}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			a.serve(conn)
		}
	}()
	return a
}

func (a *watchedAgent) serve(conn net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	switch {
	case err != nil:
	case strings.HasSuffix(req.URL.Path, "/monitor"):
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	case req.URL.Query().Get("index") == "0":
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 2\r\n\r\n[]")
		_ = conn.Close()
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, conn)
}
