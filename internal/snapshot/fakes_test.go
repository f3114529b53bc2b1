package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// noise are bytes that cannot be compressed, the same ones each time.
func noise(size int) []byte {
	out := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(out) // never fails
	return out
}

// small is an archive that fits into one part, and large one that does not, nor into the buffers of a connection.
var (
	small = sync.OnceValue(func() []byte { return archiveWith(1 << 8) })
	large = sync.OnceValue(func() []byte { return archiveWith(partSize + partSize/4) })
)

// archiveWith is an archive that can be restored, with one key of a size.
func archiveWith(size int) []byte {
	state := stateOf(record{0, aServer("consul-0", "")}, record{2, map[string]any{"Key": "a", "Value": noise(size)}})
	return archiveOf(metaOf(state), packed{fileState, state})
}

// fits is the cluster that they are of.
var fits = Fit{Datacenter: "dc1", Version: "1.22.7"}

// pretender answers as Consul does: it has an archive, and restores what is whole.
type pretender struct {
	archive []byte
	server  *httptest.Server

	mutex sync.Mutex
	// given are all that it was to restore, and restored those that were whole.
	given, restored [][]byte
}

func (p *pretender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		_, _ = w.Write(p.archive)
		return
	}
	// A server that does not lead passes on what comes, and the leader does not learn how it ended: what is whole is restored.
	body, _ := io.ReadAll(r.Body)
	_, err := Read(bytes.NewReader(body))
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.given = append(p.given, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	p.restored = append(p.restored, body)
}

// all is what it was to restore, and what of it was whole. It ends the server: what was sent may not have come yet.
func (p *pretender) all() (given, restored [][]byte) {
	p.server.Close()
	return p.soFar()
}

// soFar is all that has come until now.
func (p *pretender) soFar() (given, restored [][]byte) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.given, p.restored
}

// pretend is a pretender with an archive, reached through a handler that may disturb it.
func pretend(t *testing.T, archive []byte, disturb func(next http.Handler) http.Handler) (Consul, *pretender) {
	t.Helper()
	p := &pretender{archive: archive}
	p.server = httptest.NewServer(disturb(p))
	t.Cleanup(p.server.Close)
	return Consul{Address: p.server.URL}, p
}

// effect answers instead of a handler, or spoils its answer.
type effect func(next http.Handler, w http.ResponseWriter, r *http.Request)

// disturbance is what happens to the first requests of a kind instead of an answer.
type disturbance struct {
	to    func(*http.Request) bool
	by    effect
	times int32
	seen  atomic.Int32 // requests of the kind
}

func (d *disturbance) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.to(r) && d.seen.Add(1) <= d.times {
			d.by(next, w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// says answers with an error as object stores do.
func says(status int, code string) effect {
	return func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>words of the store</Message></Error>", code)
	}
}

// closes closes the connection in the middle of the request.
func closes(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 1<<10)
	panic(http.ErrAbortHandler)
}

// losesAnswer does what it is asked for, and closes the connection instead of an answer.
func losesAnswer(next http.Handler, _ http.ResponseWriter, r *http.Request) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// hangs takes a request and answers nothing.
func hangs(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then it is seen that the client is gone
	<-r.Context().Done()
}

// hangsInTheMiddle answers half, and nothing more.
func hangsInTheMiddle(next http.Handler, w http.ResponseWriter, r *http.Request) {
	text := answerOf(next, r)
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = w.Write(text[:len(text)/2])
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// breaksOff answers half, and closes the connection.
func breaksOff(next http.Handler, w http.ResponseWriter, r *http.Request) {
	text := answerOf(next, r)
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = w.Write(text[:len(text)/2])
	panic(http.ErrAbortHandler)
}

// endsEarly answers half as if it was all.
func endsEarly(next http.Handler, w http.ResponseWriter, r *http.Request) {
	text := answerOf(next, r)
	_, _ = w.Write(text[:len(text)/2])
}

func answerOf(next http.Handler, r *http.Request) []byte {
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	return answer.Body.Bytes()
}

// shortenSilence has whoever sends nothing be given up soon. A test that does so is not parallel.
func shortenSilence(t *testing.T, to time.Duration) {
	t.Helper()
	was := mostSilence
	mostSilence = to
	t.Cleanup(func() { mostSilence = was })
}

// soon is a context that is long enough for whatever ends.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return log.IntoContext(ctx, zap.New(zap.WriteTo(t.Output())))
}

// newFolder is an empty store.
func newFolder(t *testing.T) *Folder {
	t.Helper()
	store, err := OpenFolder(t.TempDir())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return store
}

// put stores an object as it is.
func put(ctx context.Context, store Store, name string, text []byte) error {
	object, err := store.Create(ctx, name)
	if err != nil {
		return err
	}
	defer object.Abort()
	if _, err := object.Write(text); err != nil {
		return err
	}
	return object.Commit()
}

// get is what an object holds.
func get(ctx context.Context, store Store, name string) ([]byte, error) {
	from, err := store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }()
	return io.ReadAll(from)
}

// long marks a test that takes more than ten seconds: make test leaves it to make test-all.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes long: make test-all runs it")
	}
}
