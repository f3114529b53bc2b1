package snapshot

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
)

// requested is what Consul or an object store is asked for.
func requested(r *http.Request) string {
	query := r.URL.Query()
	switch isConsul := r.URL.Path == "/v1/snapshot"; {
	case isConsul && isRead(r):
		return "Consul saves"
	case isConsul:
		return "Consul restores"
	case isList(r):
		return "list"
	case query.Has("uploads"):
		return "begin"
	case query.Has("partNumber"):
		return "part " + query.Get("partNumber")
	case isCompletion(r):
		return "complete"
	case query.Has("uploadId"):
		return "abort"
	}
	return map[string]string{http.MethodGet: "read", http.MethodPut: "write", http.MethodDelete: "delete"}[r.Method]
}

// Where a request can be stopped.
const (
	atTheStart  = "at the start"      // nobody gets it
	inTheMiddle = "in the middle"     // half of it is passed on, or half of its answer
	atTheAnswer = "before the answer" // it is done, and nobody says so
)

// point is one in the life of a task.
type point struct{ request, at string }

func (p point) String() string { return p.request + ", " + p.at }

// gate lets requests pass, and stops one of them until who sent it is dead. It is in front of both Consul and the store.
type gate struct {
	stop          point
	stopped, dead chan struct{}

	mutex   sync.Mutex
	isOpen  bool // for all, and nothing is noted
	seen    []point
	passing int
}

func newGate(stop point) *gate {
	return &gate{stop: stop, stopped: make(chan struct{}), dead: make(chan struct{})}
}

// open lets everything pass, or ends that.
func (g *gate) open(is bool) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.isOpen = is
}

// points are those that there were for stopping.
func (g *gate) points() []point {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return slices.Clone(g.seen)
}

// busy is how many requests are on their way.
func (g *gate) busy() int {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.passing
}

// arrives notes a request, and reports whether it is the one to stop.
func (g *gate) arrives(r *http.Request) bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.passing++
	if g.isOpen {
		return false
	}
	name := requested(r)
	for n := 2; slices.Contains(g.seen, point{name, atTheStart}); n++ {
		name = fmt.Sprintf("%s (%d)", requested(r), n)
	}
	g.seen = append(g.seen, point{name, atTheStart})
	if isRead(r) || r.ContentLength != 0 {
		g.seen = append(g.seen, point{name, inTheMiddle})
	}
	if !isRead(r) { // which changes nothing
		g.seen = append(g.seen, point{name, atTheAnswer})
	}
	return name == g.stop.request
}

func (g *gate) leaves() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.passing--
}

// wait tells that the request is stopped, until it has no sender any more, nor an end.
func (g *gate) wait() error {
	close(g.stopped)
	<-g.dead
	return io.ErrUnexpectedEOF
}

func (g *gate) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer g.leaves()
		switch isIt := g.arrives(r); {
		case !isIt:
			next.ServeHTTP(w, r)
			return
		case g.stop.at == atTheStart:
			_ = g.wait()
		case g.stop.at == atTheAnswer:
			next.ServeHTTP(httptest.NewRecorder(), r)
			_ = g.wait()
		case isRead(r):
			text := answerOf(next, r)
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = w.Write(text[:len(text)/2])
			_ = http.NewResponseController(w).Flush()
			_ = g.wait()
		default:
			size := r.ContentLength
			if size < 0 { // a snapshot that is restored
				size = int64(len(large()))
			}
			r.Body = readCloser{io.MultiReader(io.LimitReader(r.Body, size/2), action(g.wait)), r.Body}
			next.ServeHTTP(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	})
}

// action is a reader that has nothing, and does something first.
type action func() error

func (a action) Read([]byte) (int, error) { return 0, a() }
