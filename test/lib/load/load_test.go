package load

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// fakeConsul is a KV store that can refuse, drop and forget.
type fakeConsul struct {
	*httptest.Server
	mu          sync.Mutex
	values      map[string]string
	connections map[string]bool
	puts        int
	refuse      func(put int) string // the body of a 500, or ""
}

func newFakeConsul(t *testing.T) *fakeConsul {
	t.Helper()
	f := &fakeConsul{values: map[string]string{}, connections: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeConsul) address() string { return strings.TrimPrefix(f.URL, "http://") }

func (f *fakeConsul) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/v1/kv/")
	if r.Method == http.MethodGet {
		f.list(w, key)
		return
	}
	f.puts++
	f.connections[r.RemoteAddr] = true
	if f.refuse != nil {
		if text := f.refuse(f.puts); text != "" {
			http.Error(w, text, http.StatusInternalServerError)
			return
		}
	}
	body, _ := io.ReadAll(r.Body)
	f.values[key] = string(body)
	_, _ = io.WriteString(w, "true\n")
}

func (f *fakeConsul) list(w http.ResponseWriter, prefix string) {
	pairs := []map[string]string{}
	for key, value := range f.values {
		if strings.HasPrefix(key, prefix) {
			pairs = append(pairs, map[string]string{"Key": key, "Value": base64.StdEncoding.EncodeToString([]byte(value))})
		}
	}
	_ = json.NewEncoder(w).Encode(pairs)
}

func (f *fakeConsul) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func runUntil(t *testing.T, l *Load, writes int) Result {
	t.Helper()
	NewWithT(t).Eventually(func() int {
		c := l.Counters()
		return c.Acknowledged + c.Failed
	}, "10s", "5ms").Should(BeNumerically(">=", writes))
	return l.Stop()
}

func TestConnectionsAreUsedAsTheKindSays(t *testing.T) {
	g := NewWithT(t)
	f := newFakeConsul(t)
	result := runUntil(t, Start(t.Context(), Static{f.address()}, Options{Writers: 2, Rate: 400}), 100)

	g.Expect(result.All.Failed).To(BeZero())
	g.Expect(result.Kinds[NewConnection].Acknowledged).To(BeNumerically(">", 30))
	g.Expect(result.Kinds[KeepAlive].Acknowledged).To(BeNumerically(">", 30))
	g.Expect(f.connections).To(HaveLen(result.Kinds[NewConnection].Acknowledged+2), "two keep-alive writers, one connection each")
}

func TestAKeepAliveWriterStaysWithItsServerUntilItFails(t *testing.T) {
	g := NewWithT(t)
	old, next := newFakeConsul(t), newFakeConsul(t)
	endpoints := &changing{addresses: []string{old.address()}}
	l := Start(t.Context(), endpoints, Options{Writers: 1, Rate: 200})
	defer l.Stop()
	keptAlive := func() int { return l.Result().Kinds[KeepAlive].Acknowledged }
	g.Eventually(keptAlive, "5s").Should(BeNumerically(">", 5))

	endpoints.set(next.address())
	before := keptAlive()
	g.Eventually(keptAlive, "5s").Should(BeNumerically(">", before+10))
	var connections int
	next.locked(func() { connections = len(next.connections) })
	onNext := l.Result().Kinds[NewConnection].Acknowledged
	g.Expect(connections).To(BeNumerically("<=", onNext), "only writers with new connections moved")

	old.locked(func() { old.refuse = func(int) string { return "No cluster leader" } })
	g.Eventually(func() int { return l.Result().Kinds[KeepAlive].Failed }, "5s").Should(Equal(1))
	before = keptAlive()
	g.Eventually(keptAlive, "5s").Should(BeNumerically(">", before+10))
	g.Expect(l.Result().Kinds[KeepAlive].Failed).To(Equal(1), "it connected to the other server")
}

func TestEachFailedAttemptCounts(t *testing.T) {
	g := NewWithT(t)
	f := newFakeConsul(t)
	f.refuse = func(put int) string {
		if put%10 == 0 {
			return "rpc error making call: leadership transfer in progress"
		}
		return ""
	}
	result := runUntil(t, Start(t.Context(), Static{f.address()}, Options{Writers: 2, Rate: 400}), 100)

	g.Expect(result.All.Classes).To(Equal(map[string]int{ClassTransfer: f.puts / 10}))
	g.Expect(result.All.Attempts()).To(Equal(f.puts))
	g.Expect(result.Failures).To(HaveLen(f.puts / 10))
	g.Expect(result.Failures[0].Server).To(Equal(f.address()))
}

func TestVerifyFindsALostWrite(t *testing.T) {
	g := NewWithT(t)
	f := newFakeConsul(t)
	f.refuse = func(put int) string {
		if put%25 == 0 {
			return "No cluster leader"
		}
		return ""
	}
	l := Start(t.Context(), Static{f.address()}, Options{Writers: 2, Rate: 400})
	runUntil(t, l, 200)

	v, err := l.Verify(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(v.Lost).To(BeEmpty())
	g.Expect(v.Keys).To(BeNumerically(">=", 4+f.puts/25-4), "a key for each writer, and one more for each failure")

	lost := l.writers[0].trails[0]
	f.locked(func() { delete(f.values, lost.key) })
	v, err = l.Verify(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(v.Lost).To(ConsistOf(Lost{Key: lost.key, Acknowledged: lost.acked}))
}

func TestOnlyTheAttemptAfterTheLastAcknowledgedOneMayBeThere(t *testing.T) {
	g := NewWithT(t)
	closed, open := trail{acked: 7}, trail{acked: 7, open: true}
	g.Expect([]bool{closed.allows(6), closed.allows(7), closed.allows(8)}).To(Equal([]bool{false, true, false}))
	g.Expect([]bool{open.allows(6), open.allows(7), open.allows(8), open.allows(9)}).To(Equal([]bool{false, true, true, false}))
}

func TestItEndsWithItsContext(t *testing.T) {
	g := NewWithT(t)
	hung := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	defer server.Close()
	defer close(hung)
	ctx, cancel := context.WithCancel(t.Context())
	l := Start(ctx, Static{strings.TrimPrefix(server.URL, "http://")}, Options{Writers: 1})
	cancel()
	stopped := make(chan Result)
	go func() { stopped <- l.Stop() }()
	g.Eventually(stopped, "5s").Should(Receive(HaveField("All.Failed", 0)), "an aborted write is no failure")
}

func TestFailuresAreClassified(t *testing.T) {
	g := NewWithT(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(gone.Close()).To(Succeed())
	dropping := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, _ := http.NewResponseController(w).Hijack()
		_ = connection.Close()
	}))
	defer dropping.Close()
	hung := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	defer hanging.Close()
	defer close(hung)

	for class, endpoints := range map[string]Static{
		ClassRefused:    {gone.Addr().String()},
		ClassClosed:     {strings.TrimPrefix(dropping.URL, "http://")},
		ClassTimeout:    {strings.TrimPrefix(hanging.URL, "http://")},
		ClassNoEndpoint: {},
	} {
		l := Start(t.Context(), endpoints, Options{Writers: 1, Rate: 200, Timeout: 50 * time.Millisecond})
		g.Expect(runUntil(t, l, 4).All.Classes).To(HaveLen(1), class)
		g.Expect(l.Result().All.Classes).To(HaveKey(class))
	}
	g.Expect(classifyAnswer(200, []byte("true\n"))).To(BeEmpty())
	g.Expect(classifyAnswer(200, []byte("false"))).To(Equal("200 false"))
	g.Expect(classifyAnswer(500, []byte("dial tcp 127.4.0.2:8300: boom"))).To(Equal("500 dial tcp …: boom"))
	g.Expect(classifyAnswer(500, []byte("dial tcp [fd00::1a]:8300: boom"))).To(Equal("500 dial tcp …: boom"))
	g.Expect(classifyAnswer(500, []byte("rpc error making call: No cluster leader"))).To(Equal("No cluster leader"))
}

// changing is a list of endpoints that changes.
type changing struct {
	mu        sync.Mutex
	addresses []string
}

func (c *changing) Addresses() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addresses
}

func (c *changing) set(addresses ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses = addresses
}
