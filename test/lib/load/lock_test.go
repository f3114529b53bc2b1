package load

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"
)

// fakeLocks answers what a lock asks Consul for.
type fakeLocks struct {
	pair    api.KVPair
	renewed atomic.Int32
	expired atomic.Bool
	// forgets is a leader that has not applied its log.
	forgets atomic.Bool
}

func (f *fakeLocks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	switch {
	case path == "session/create":
		_, _ = io.WriteString(w, `{"ID": "mine"}`)
	case strings.HasPrefix(path, "session/renew/") && (f.expired.Load() || f.forgets.CompareAndSwap(true, false)):
		http.Error(w, "unknown session", http.StatusNotFound)
	case strings.HasPrefix(path, "session/info/") && f.expired.Load():
		_, _ = io.WriteString(w, "[]")
	case strings.HasPrefix(path, "session/info/"):
		_, _ = io.WriteString(w, `[{"ID": "mine"}]`)
	case strings.HasPrefix(path, "session/renew/"):
		f.renewed.Add(1)
		_, _ = io.WriteString(w, `[{"ID": "mine"}]`)
	case r.Method == http.MethodGet && f.pair.Key == "":
		http.NotFound(w, r)
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode([]api.KVPair{f.pair})
	default: // the node is registered, the key acquired
		_, _ = io.WriteString(w, "true")
	}
}

func TestLockIsHeldUntilItIsNot(t *testing.T) {
	t.Parallel()
	held := api.KVPair{Key: "locks/app", Session: "mine", LockIndex: 1}
	for name, test := range map[string]struct {
		pair api.KVPair
		want string
	}{
		"held":                       {pair: held},
		"its key is gone":            {want: "does not exist"},
		"released by its session":    {pair: api.KVPair{Key: held.Key, LockIndex: 1}, want: "did not know its session any more"},
		"somebody else's":            {pair: api.KVPair{Key: held.Key, Session: "other", LockIndex: 2}, want: `session "other"`},
		"lost once, and taken again": {pair: api.KVPair{Key: held.Key, Session: "mine", LockIndex: 2}, want: "acquired 2 times"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			server := httptest.NewServer(&fakeLocks{pair: test.pair})
			t.Cleanup(server.Close)
			l, err := TakeLock(t.Context(), Static{strings.TrimPrefix(server.URL, "http://")}, Access{}, "app")
			g.Expect(err).NotTo(HaveOccurred())
			if err := l.Check(t.Context()); test.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
			} else {
				g.Expect(err).To(MatchError(ContainSubstring(test.want)))
			}
		})
	}
}

func TestLockIsLostWithItsSession(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	f := &fakeLocks{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	l, err := TakeLock(t.Context(), Static{strings.TrimPrefix(server.URL, "http://")}, Access{}, "app")
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(f.renewed.Load, "10s", "20ms").Should(BeNumerically(">", 0), "it is renewed by itself")

	f.forgets.Store(true)
	g.Eventually(f.forgets.Load, "10s", "20ms").Should(BeFalse(), "a leader has not applied its log")
	renewed := f.renewed.Load()
	g.Eventually(f.renewed.Load, "10s", "20ms").Should(BeNumerically(">", renewed), "then it has")

	f.expired.Store(true)
	l.done.Wait() // it ends by itself
	g.Expect(l.Check(t.Context())).To(MatchError(ContainSubstring("did not know its session")))
}

// Nobody may have led for so long that the session ended as it should, which is noticed by the key alone.
func TestLockThatNobodyCouldRenew(t *testing.T) {
	g := NewWithT(t)
	for unrenewed, was := range map[time.Duration]bool{LockTTL - time.Second: false, LockTTL + time.Second: true} {
		l := &Lock{stop: func() {}, session: "mine", unrenewed: unrenewed}
		g.Expect(Unrenewed(l.judge(&api.KVPair{LockIndex: 1}))).To(Equal(was))
	}
}

// A session that was given up while nobody could renew it may be renewed once more before it ends: its leader had lost the quorum
// before the end was committed. Seen in chaos: renewed 3.6 s before, after 38 s without.
func TestWhyASessionEnded(t *testing.T) {
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	for what, test := range map[string]struct {
		renewed []int
		ended   int
		longest time.Duration
	}{
		"in time":                              {[]int{2, 4, 6}, 8, 2 * time.Second},
		"not for long":                         {[]int{2, 4}, 20, 16 * time.Second},
		"not for long, then once more":         {[]int{2, 40, 42}, 44, 38 * time.Second},
		"not for long, and in time long since": {[]int{40, 50, 60, 70, 80, 90, 100}, 101, time.Second},
	} {
		t.Run(what, func(t *testing.T) {
			r := renewals{last: start}
			for _, seconds := range test.renewed {
				r.add(at(seconds))
			}
			NewWithT(t).Expect(r.longest(at(test.ended))).To(Equal(test.longest))
		})
	}
}
