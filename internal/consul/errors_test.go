package consul

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/internal/plan"
)

const secret = "5ec4e7-t0ken"

var allErrors = []error{
	ErrNoLeader, ErrTransferInProgress, ErrNotFound, ErrForbidden, ErrUnanswered, ErrUnreachable, ErrConflict,
}

// agentOf serves the API of an agent.
func agentOf(t *testing.T, timeout time.Duration, token string, h http.HandlerFunc) *agent {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return NewDialer(timeout)(Target{Address: server.Listener.Addr().String(), Token: token}).(*agent)
}

func answer(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// cut ends the connection without an answer, by FIN or by RST.
func cut(linger int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(linger)
			_ = conn.Close()
		}
	}
}

func TestErrorsAreClassified(t *testing.T) {
	hang := func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	cases := map[string]struct {
		handler http.HandlerFunc
		want    error // nil: an answer that means no, and none of ours
		text    string
	}{
		"403":                {answer(403, "Permission denied: token "+secret+" lacks it"), ErrForbidden, "<token>"},
		"403 forwarded":      {answer(500, "rpc error making call: Permission denied"), ErrForbidden, ""},
		"no leader":          {answer(500, "No cluster leader"), ErrNoLeader, "leave on %s: no cluster leader"},
		"transfer":           {answer(500, "leadership transfer in progress"), ErrTransferInProgress, ""},
		"unknown target":     {answer(500, "Could not find address for server id x"), ErrNotFound, ""},
		"unknown peer":       {answer(500, `id "x" was not found in the Raft configuration`), ErrNotFound, ""},
		"unknown member":     {answer(500, "agent: No node found with name 'x'"), ErrNotFound, ""},
		"leader lost":        {answer(500, "leadership lost while committing log"), ErrUnanswered, ""},
		"forwarded, EOF":     {answer(500, "rpc error making call: EOF"), ErrUnanswered, ""},
		"other 500":          {answer(500, "cannot transfer leadership to itself"), nil, "cannot transfer leadership to itself"},
		"429 without health": {answer(429, "Too many"), nil, "429 Too many"},
		"long":               {answer(500, strings.Repeat("x", 5000)), nil, "xxx…"},
		"redirect":           {answer(301, ""), nil, "301"},
		"EOF":                {cut(-1), ErrUnanswered, "EOF"},
		"reset":              {cut(0), ErrUnanswered, ""},
		"hang":               {hang, ErrUnanswered, "timed out"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			a := agentOf(t, 200*time.Millisecond, secret, c.handler)
			err := a.Leave(t.Context())
			g.Expect(err).To(HaveOccurred())
			for _, known := range allErrors {
				if errors.Is(known, c.want) {
					g.Expect(err).To(MatchError(known))
				} else {
					g.Expect(err).NotTo(MatchError(known))
				}
			}
			g.Expect(err.Error()).NotTo(ContainSubstring(secret))
			g.Expect(len(err.Error())).To(BeNumerically("<", maxErrorText+100))
			if strings.Contains(c.text, "%s") {
				g.Expect(err).To(MatchError(fmt.Sprintf(c.text, a.target.Address)))
			}
			g.Expect(err.Error()).To(ContainSubstring(strings.Split(c.text, "%s")[0]))
		})
	}
}

func TestUnreachableMeansNotApplied(t *testing.T) {
	g := NewWithT(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := l.Addr().String()
	g.Expect(l.Close()).To(Succeed())
	err = NewDialer(0)(Target{Address: address, Token: secret}).Leave(t.Context())
	g.Expect(err).To(MatchError(ErrUnreachable))
	g.Expect(err).NotTo(MatchError(ErrUnanswered))
	g.Expect(err).To(MatchError(ContainSubstring("connection refused")))

	for _, nowhere := range []string{"", "no-port"} {
		g.Expect(NewDialer(0)(Target{Address: nowhere}).Leave(t.Context())).To(MatchError(ErrUnreachable))
	}
}

// A pod that vanished swallows packets: the dial ends at the timeout, and nothing was sent.
func TestDialThatHangsIsUnreachable(t *testing.T) {
	g := NewWithT(t)
	blackhole := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	a := &agent{target: Target{Address: "192.0.2.1:8500"}, timeout: 100 * time.Millisecond, pool: blackhole}
	start := time.Now()
	g.Expect(a.TransferLeadership(t.Context(), "id")).To(MatchError(ErrUnreachable))
	g.Expect(time.Since(start)).To(BeNumerically("<", time.Second))
}

// hungAgent is an agent that answers nothing, and how many requests it got.
func hungAgent(t *testing.T) (*agent, *atomic.Int32) {
	t.Helper()
	release, asked := make(chan struct{}), &atomic.Int32{}
	handler := func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		if req.URL.Path == "/v1/operator/raft/configuration" { // hangs in the middle of its answer
			_, _ = io.WriteString(w, `{"Servers": [`)
			w.(http.Flusher).Flush()
		}
		<-release
	}
	a := agentOf(t, 300*time.Millisecond, "", handler)
	t.Cleanup(func() { close(release) }) // before the server is closed, which waits for its handlers
	return a, asked
}

func TestHungAgentCostsTheTimeout(t *testing.T) {
	a, _ := hungAgent(t)
	calls := map[string]func(context.Context) error{
		"self":     func(ctx context.Context) error { _, err := a.Self(ctx); return err },
		"peers":    func(ctx context.Context) error { _, err := a.RaftPeers(ctx); return err },
		"members":  func(ctx context.Context) error { _, err := a.Members(ctx); return err },
		"catalog":  func(ctx context.Context) error { _, err := a.Catalog(ctx); return err },
		"health":   func(ctx context.Context) error { _, err := a.Health(ctx); return err },
		"quorum":   func(ctx context.Context) error { return a.SetAutopilot(ctx, minQuorum3) },
		"leave":    func(ctx context.Context) error { return a.Leave(ctx) },
		"transfer": func(ctx context.Context) error { return a.TransferLeadership(ctx, "id") },
		"prune":    func(ctx context.Context) error { return a.ForceLeave(ctx, "name") },
		"remove":   func(ctx context.Context) error { return a.RemovePeer(ctx, "id") },
		"watch":    func(ctx context.Context) error { _, err := a.WatchServers(ctx, 0, time.Hour)(); return err },
		"leader":   func(ctx context.Context) error { return a.WatchLeader(ctx)(func() { t.Error("nothing changed") }) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var asked *atomic.Int32
			a, asked = hungAgent(t)
			start := time.Now()
			g.Expect(call(t.Context())).To(And(MatchError(ErrUnanswered), MatchError(ContainSubstring("timed out"))))
			g.Expect(time.Since(start)).To(BeNumerically(">=", 300*time.Millisecond))
			g.Expect(asked.Load()).To(BeNumerically("<=", 1), "it costs the timeout once")
		})
	}
	t.Run("canceled", func(t *testing.T) {
		g := NewWithT(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		g.Expect(a.Leave(ctx)).To(And(MatchError(context.Canceled), MatchError(ErrUnreachable)))
	})
}

func TestStrangeAnswers(t *testing.T) {
	for name, body := range map[string]string{"html": "<html>", "list": "[]", "empty object": "{}"} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			a := agentOf(t, 0, "", answer(200, body))
			_, err := a.Self(t.Context())
			g.Expect(err).To(MatchError(errStrange))
		})
	}
}

// A configuration that Raft printed is read completely or not at all; that of a server that never joined is empty.
func TestReadConfiguration(t *testing.T) {
	g := NewWithT(t)
	const printed = "[{Suffrage:Voter ID:a Address:10.0.0.1:8300} {Suffrage:Nonvoter ID:b Address:[::1]:8300}]"
	g.Expect(readConfiguration(printed)).To(Equal(
		[]plan.Peer{{ID: "a", Voter: true}, {ID: "b"}}))
	g.Expect(readConfiguration("[]")).To(And(BeEmpty(), Not(BeNil())))
	const one = "{Suffrage:Voter ID:a Address:1:1}"
	for _, strange := range []string{"", "x", "[", "[x]", "[" + one, "[" + one + " ", "[" + one + " {Suffrage:Voter ID:b}]", one} {
		g.Expect(readConfiguration(strange)).To(BeNil(), strange)
	}
}

func TestTokenIsOursAlone(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("CONSUL_HTTP_TOKEN", "of-the-environment")
	var got []string
	record := func(w http.ResponseWriter, req *http.Request) {
		got = append(got, req.Header.Get("X-Consul-Token"))
		_, _ = io.WriteString(w, "[]")
	}
	with := agentOf(t, 0, secret, record)
	without := agentOf(t, 0, "", record)
	for _, a := range []*agent{with, without} {
		_, err := a.Members(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(got).To(Equal([]string{secret, ""}))
}

// An agent resolves its own token without a leader, and others for everything that concerns more than itself.
func TestTokensForCalls(t *testing.T) {
	const own = "b0b0b0b0-0000-4000-8000-000000000000"
	g := NewWithT(t)
	var token string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		token = req.Header.Get("X-Consul-Token")
		http.Error(w, "refuses "+secret+" and "+own, http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	for name, test := range map[string]struct {
		call  func(Agent) error
		token string
	}{
		"self":        {func(a Agent) error { _, err := a.Self(t.Context()); return err }, own},
		"members":     {func(a Agent) error { _, err := a.Members(t.Context()); return err }, own},
		"reload":      {func(a Agent) error { return a.Reload(t.Context()) }, own},
		"leave":       {func(a Agent) error { return a.Leave(t.Context()) }, own},
		"stream":      {func(a Agent) error { return a.WatchLeader(t.Context())(func() {}) }, own},
		"force-leave": {func(a Agent) error { return a.ForceLeave(t.Context(), "x") }, secret},
		"peers":       {func(a Agent) error { _, err := a.RaftPeers(t.Context()); return err }, secret},
		"anonymous":   {func(a Agent) error { return a.GrantAnonymous(t.Context(), Policy{Name: "x"}) }, secret},
		"make token":  {func(a Agent) error { return a.MakeToken(t.Context(), Token{Policy: Policy{Name: "x"}}) }, secret},
	} {
		token = ""
		err := test.call(NewDialer(0)(Target{Address: server.Listener.Addr().String(), Token: secret, AgentToken: own}))
		g.Expect(err).To(MatchError(ErrForbidden), name)
		g.Expect(token).To(Equal(test.token), name)
		g.Expect(err.Error()).NotTo(Or(ContainSubstring(secret), ContainSubstring(own)), name)
		g.Expect(NewDialer(0)(Target{Address: server.Listener.Addr().String(), Token: secret}).Reload(t.Context())).
			To(MatchError(ErrForbidden))
		g.Expect(token).To(Equal(secret), "without another one")
	}
}

// During a rotation an agent knows the former token until it has read the present one. Nobody else is called with that.
func TestAnAgentThatHasNotReadItsTokens(t *testing.T) {
	const present, former = "b0b0b0b0-0000-4000-8000-000000000000", "f0f0f0f0-0000-4000-8000-000000000000"
	g := NewWithT(t)
	var knows string
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		token := req.Header.Get("X-Consul-Token")
		if got = append(got, token); token != knows {
			http.Error(w, "refuses "+token, http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"Config": {"NodeID": "x"}}`)
	}))
	t.Cleanup(server.Close)
	agent := NewDialer(0)(Target{
		Address: server.Listener.Addr().String(), Token: secret, AgentToken: present, FormerAgentToken: former,
	})
	for known, asked := range map[string][]string{former: {present, former}, present: {present}} {
		knows, got = known, nil
		self, err := agent.Self(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(self.UsesFormerToken).To(Equal(known == former))
		g.Expect(got).To(Equal(asked))
	}
	knows = "another"
	_, err := agent.Self(t.Context())
	g.Expect(err).To(MatchError(ErrForbidden))
	g.Expect(err.Error()).NotTo(Or(ContainSubstring(present), ContainSubstring(former)))
	got = nil
	_, err = agent.RaftPeers(t.Context())
	g.Expect(err).To(MatchError(ErrForbidden))
	g.Expect(got).To(Equal([]string{secret}))
}

// A leader that has not applied its log knows no token: it is not taken for one that does not exist.
func TestATokenThatALeaderDoesNotKnowYet(t *testing.T) {
	const former, present = "f0f0f0f0-0000-4000-8000-000000000000", "b0b0b0b0-0000-4000-8000-000000000000"
	g := NewWithT(t)
	hasApplied, changed := false, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch token := req.Header.Get("X-Consul-Token"); {
		case req.Method != http.MethodGet:
			changed = path.Base(req.URL.Path)
			_, _ = io.WriteString(w, `{}`)
		case !hasApplied && token == former:
			hasApplied = true // right after
			http.Error(w, "ACL not found", http.StatusForbidden)
		default:
			_, _ = io.WriteString(w, `{"AccessorID": "of-`+token+`"}`)
		}
	}))
	t.Cleanup(server.Close)
	agent := NewDialer(0)(Target{Address: server.Listener.Addr().String(), Token: present})
	g.Expect(agent.RevokeToken(t.Context(), former)).To(Succeed())
	g.Expect(changed).To(Equal("of-" + former))
}

// Over TLS the server has to be the one that the cluster's own authority knows by the expected name.
func TestTLSVerifiesTheServer(t *testing.T) {
	g := NewWithT(t)
	var token string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		token = req.Header.Get("X-Consul-Token")
		w.Header().Set("X-Consul-Index", "1")
		_, _ = io.WriteString(w, "[]")
	}))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	calls := map[string]func(Agent) error{
		"a call":                    func(a Agent) error { _, err := a.Members(t.Context()); return err },
		"a request that stays open": func(a Agent) error { _, err := a.WatchServers(t.Context(), 0, time.Hour)(); return err },
	}
	for name, call := range calls {
		with := func(config *tls.Config) error {
			return call(NewDialer(0)(Target{
				Scheme: "https", Address: server.Listener.Addr().String(), Token: secret, TLS: NewTLS(config),
			}))
		}
		token = ""
		g.Expect(with(&tls.Config{RootCAs: trusted, ServerName: "example.com"})).To(Succeed(), name)
		g.Expect(token).To(Equal(secret), name)
		refused := MatchError(ContainSubstring("certificate"))
		g.Expect(with(&tls.Config{RootCAs: trusted, ServerName: "server.dc1.consul"})).To(refused, name)
		g.Expect(with(&tls.Config{RootCAs: x509.NewCertPool()})).To(refused, name)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	g := NewWithT(t)
	opened := 0
	server := httptest.NewUnstartedServer(answer(200, "[]"))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened++
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	dial := NewDialer(0)
	for range 5 { // a new client each, as in each pass of the operator
		_, err := dial(Target{Address: server.Listener.Addr().String()}).Members(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(opened).To(Equal(1))
}

var minQuorum3 = map[string]string{SettingMinQuorum: "3"}

func TestAutopilotGivesUpOnConflicts(t *testing.T) {
	g := NewWithT(t)
	writes := 0
	a := agentOf(t, 0, "", func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"MinQuorum": 1, "ModifyIndex": 7}`)
			return
		}
		writes++
		g.Expect(req.URL.Query().Get("cas")).To(Equal("7"))
		_, _ = io.WriteString(w, "false")
	})
	g.Expect(a.SetAutopilot(t.Context(), minQuorum3)).To(MatchError(ErrConflict))
	g.Expect(writes).To(Equal(casAttempts))
}

// Each setting that is read can be written, and is read again as it was written.
func TestEachSettingOfAutopilot(t *testing.T) {
	g := NewWithT(t)
	wanted := map[string]string{
		"cleanup_dead_servers": "true", "disable_upgrade_migration": "true", "last_contact_threshold": "500ms",
		"max_trailing_logs": "1000", "min_quorum": "3", "redundancy_zone_tag": "zone", "server_stabilization_time": "20s",
		"upgrade_version_tag": "version",
	}
	conf := &api.AutopilotConfiguration{}
	g.Expect(settingsOf(conf)).To(HaveLen(len(wanted)))
	for name, value := range wanted {
		g.Expect(settingsOf(conf)).To(HaveKeyWithValue(name, Not(Equal(value))))
		g.Expect(set(conf, name, value)).To(Succeed())
	}
	g.Expect(settingsOf(conf)).To(Equal(wanted))
	g.Expect(set(conf, "unknown", "")).NotTo(Succeed())
}

func TestTransferNeedsAnID(t *testing.T) {
	g := NewWithT(t)
	a := agentOf(t, 0, "", func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	g.Expect(a.TransferLeadership(t.Context(), "")).To(HaveOccurred())
}

func TestHealthUnhealthyIsAnAnswer(t *testing.T) {
	g := NewWithT(t)
	a := agentOf(t, 0, "", answer(429, `{"Healthy": false, "Servers": [{"ID": "s1", "LastContact": "1.5s"}]}`))
	health, err := a.Health(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(health).To(Equal(map[string]plan.Health{"s1": plan.HealthUnhealthy}))
}
