package snapshot

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
)

// encodings are what requests say of encodings, by what they ask for.
type encodings struct {
	mutex sync.Mutex
	of    map[string][]string
}

// before notes it, and changes it on the way as the front end of Google Cloud Storage does.
func (e *encodings) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, signed, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
		signed, _, _ = strings.Cut(signed, ",")
		said := r.Header.Values("Accept-Encoding")
		if slices.Contains(strings.Split(signed, ";"), "accept-encoding") {
			said = append(said, "it is signed")
		}
		e.mutex.Lock()
		e.of[requested(r)] = append(e.of[requested(r)], said...)
		e.mutex.Unlock()
		r.Header.Set("Accept-Encoding", strings.Join(append(said, "gzip(gfe)"), ","))
		next.ServeHTTP(w, r)
	})
}

// What is between us and a store may change what a request says of encodings: it says nothing, and signs nothing of it.
func TestFrontThatChangesEncodings(t *testing.T) {
	g := NewWithT(t)
	said := &encodings{of: map[string][]string{}}
	bucket, _ := startBucket(t, said.before)
	testStore(t, bucket)
	asked := slices.Sorted(maps.Keys(said.of))
	g.Expect(asked).To(Equal([]string{
		"abort", "begin", "complete", "delete", "list", "part 1", "part 2", "part 3", "read", "write",
	}))
	for _, request := range asked {
		g.Expect(said.of[request]).To(BeEmpty(), request)
	}
}

// An object that somebody has stored as compressed comes as it is stored: its sum is that of what is stored.
func TestBodiesComeAsTheyAreStored(t *testing.T) {
	g := NewWithT(t)
	var stored bytes.Buffer
	compressed := gzip.NewWriter(&stored)
	must(io.WriteString(compressed, "text"))
	must(compressed.Close())
	bucket, _ := startBucket(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(stored.Bytes())
		})
	})
	g.Expect(get(t.Context(), bucket, "name")).To(Equal(stored.Bytes()))
}
