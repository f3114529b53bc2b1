package observer

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/invariant"
	"github.com/consul-operator/consul-operator/test/lib/load"
)

// fakeServer answers as consul-0 does, which leads.
type fakeServer struct {
	term     int
	removed  bool // the other one
	stepDown bool // before it tells its term the next time
	follows  bool
}

// poller asks the server.
func (s *fakeServer) poller(t *testing.T) *poller {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/agent/self", func(w http.ResponseWriter, _ *http.Request) {
		if s.stepDown {
			s.stepDown, s.follows, s.term = false, true, s.term+1
		}
		_, _ = fmt.Fprintf(w, `{"Config":{"NodeID":"id-0","Version":"1.22.7"},"Stats":{"raft":{"term":"%d"}}}`, s.term)
	})
	mux.HandleFunc("/v1/operator/raft/configuration", func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("stale") {
			http.Error(w, "only stale reads work without a leader", http.StatusInternalServerError)
			return
		}
		other := fmt.Sprintf(`,{"ID":"id-1","Node":"consul-1","Leader":%t,"Voter":true}`, s.follows)
		if s.removed {
			other = ""
		}
		_, _ = fmt.Fprintf(w, `{"Servers":[{"ID":"id-0","Node":"(unknown)","Leader":%t,"Voter":true}%s]}`, !s.follows, other)
	})
	mux.HandleFunc("/v1/agent/members", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"Name":"consul-1","Status":1,"Tags":{"id":"id-1"}}]`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	port, err := strconv.Atoi(address.Port())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	o := &Observer{
		options: Options{Access: load.Access{Port: port}}, client: http.DefaultClient, now: time.Now,
		model: newModel(time.Now(), 2), names: map[string]string{},
	}
	o.update(func(m *model, now time.Time) {
		m.claimSeen(now, "consul-0", false, false)
		m.podSeen(now, "consul-0", "uid", []string{address.Hostname()}, false)
	})
	return &poller{observer: o, name: "consul-0", uid: "uid", address: address.Hostname()}
}

func TestPollingALeader(t *testing.T) {
	g := NewWithT(t)
	server := &fakeServer{term: 4}
	p := server.poller(t)
	p.poll(t.Context())
	now := p.observer.Snapshot()
	g.Expect(now.Leader).To(Equal("consul-0"))
	g.Expect(now.Term).To(Equal(uint64(4)))
	g.Expect(now.Voters).To(Equal(2))
	g.Expect(now.Servers).To(ConsistOf(And(HaveField("Version", "1.22.7"), HaveField("Voter", true))))

	server.removed = true
	p.observer.SetWanted(1)
	p.poll(t.Context())
	g.Expect(p.observer.Violations()).To(ConsistOf(And(HaveField("Invariant", invariant.I4),
		HaveField("Message", ContainSubstring("consul-1")))))
}

// The term that a server tells after it has stepped down is not one in which it led.
func TestALeaderThatStepsDownWhileItIsAsked(t *testing.T) {
	g := NewWithT(t)
	server := &fakeServer{term: 4}
	p := server.poller(t)
	p.poll(t.Context())
	p.termAt, server.stepDown = time.Time{}, true
	p.poll(t.Context())
	g.Expect(p.observer.Snapshot().Leader).To(BeEmpty())
	g.Expect(p.observer.Timeline().Leaderships).To(ConsistOf(HaveField("Term", uint64(4))))
}
