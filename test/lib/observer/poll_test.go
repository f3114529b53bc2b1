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

// fakeServer answers as the leader consul-0 does.
func fakeServer(t *testing.T, term *int, removed *bool) (host string, port int) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/agent/self", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"Config":{"NodeID":"id-0","Version":"1.22.7"},"Stats":{"raft":{"term":"%d"}}}`, *term)
	})
	mux.HandleFunc("/v1/operator/raft/configuration", func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("stale") {
			http.Error(w, "only stale reads work without a leader", http.StatusInternalServerError)
			return
		}
		other := `,{"ID":"id-1","Node":"consul-1","Leader":false,"Voter":true}`
		if *removed {
			other = ""
		}
		_, _ = io.WriteString(w, `{"Servers":[{"ID":"id-0","Node":"(unknown)","Leader":true,"Voter":true}`+other+`]}`)
	})
	mux.HandleFunc("/v1/agent/members", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"Name":"consul-1","Status":1,"Tags":{"id":"id-1"}}]`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	port, err = strconv.Atoi(address.Port())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return address.Hostname(), port
}

func TestPollingALeader(t *testing.T) {
	g := NewWithT(t)
	term, removed := 4, false
	host, port := fakeServer(t, &term, &removed)
	o := &Observer{
		options: Options{Access: load.Access{Port: port}}, client: http.DefaultClient, now: time.Now,
		model: newModel(time.Now(), 2), names: map[string]string{},
	}
	o.update(func(m *model, now time.Time) {
		m.claimSeen(now, "consul-0", false, false)
		m.podSeen(now, "consul-0", "uid", []string{host}, false)
	})
	p := &poller{observer: o, name: "consul-0", uid: "uid", address: host}

	p.poll(t.Context())
	now := o.Snapshot()
	g.Expect(now.Leader).To(Equal("consul-0"))
	g.Expect(now.Term).To(Equal(uint64(4)))
	g.Expect(now.Voters).To(Equal(2))
	g.Expect(now.Servers).To(ConsistOf(And(HaveField("Version", "1.22.7"), HaveField("Voter", true))))

	removed = true
	o.SetWanted(1)
	p.poll(t.Context())
	g.Expect(o.Violations()).To(ConsistOf(And(HaveField("Invariant", invariant.I4),
		HaveField("Message", ContainSubstring("consul-1")))))
}
