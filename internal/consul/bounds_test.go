package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// endless writes the beginning, and then the same again and again until nobody reads any more. It returns how many bytes
// were taken.
func endless(status int, beginning, again string, written *atomic.Int64) http.HandlerFunc {
	again = strings.Repeat(again, 1+4096/len(again))
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		for text := beginning; ; text = again {
			n, err := io.WriteString(w, text)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
}

var reads = map[string]func(*agent, context.Context) error{
	"self":      func(a *agent, ctx context.Context) error { _, err := a.Self(ctx); return err },
	"peers":     func(a *agent, ctx context.Context) error { _, err := a.RaftPeers(ctx); return err },
	"members":   func(a *agent, ctx context.Context) error { _, err := a.Members(ctx); return err },
	"catalog":   func(a *agent, ctx context.Context) error { _, err := a.Catalog(ctx); return err },
	"health":    func(a *agent, ctx context.Context) error { _, err := a.Health(ctx); return err },
	"leader":    func(a *agent, ctx context.Context) error { _, err := a.LeaderAddr(ctx); return err },
	"autopilot": func(a *agent, ctx context.Context) error { _, err := a.Autopilot(ctx); return err },
	"watch":     func(a *agent, ctx context.Context) error { _, err := a.WatchServers(ctx, 0, time.Hour)(); return err },
}

// An agent runs an image of the user's choice: what it answers must not fill the memory of the operator.
func TestAnswersWithoutAnEnd(t *testing.T) {
	for what, answer := range map[string]struct{ beginning, again string }{
		"an array": {`[{}`, `,{}`}, "an object": {`{"Servers":[{}`, `,{}`}, "a string": {`{"Config":{"NodeID":"`, `x`},
		"spaces": {` `, ` `}, "depth": {`[`, `[`},
	} {
		for call, read := range reads {
			t.Run(what+" for "+call, func(t *testing.T) {
				g := NewWithT(t)
				var written atomic.Int64
				a := agentOf(t, 10*time.Second, "", endless(http.StatusOK, answer.beginning, answer.again, &written))
				allocated := allocates(func() { g.Expect(read(a, t.Context())).To(MatchError(errStrange)) })
				// What is written and not read is in the buffers of two sockets.
				g.Expect(written.Load()).To(BeNumerically("<", maxMembers+(8<<20)))
				g.Expect(allocated).To(BeNumerically("<", 40<<20))
			})
		}
	}
}

func TestErrorsWithoutAnEnd(t *testing.T) {
	for call, read := range reads {
		g := NewWithT(t)
		var written atomic.Int64
		a := agentOf(t, 10*time.Second, "", endless(http.StatusInternalServerError, "No cluster leader", "x", &written))
		err := read(a, t.Context())
		g.Expect(err).To(MatchError(ErrNoLeader), call)
		g.Expect(len(err.Error())).To(BeNumerically("<", maxErrorText+100), call)
		g.Expect(written.Load()).To(BeNumerically("<", maxMembers+(8<<20)), call)
	}
}

func TestHeadersWithoutAnEnd(t *testing.T) {
	a := agentOf(t, 0, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Consul-Index", strings.Repeat("1", 1<<20))
	})
	_, err := a.WatchServers(t.Context(), 0, time.Hour)()
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("exceeded")))
}

// allocates returns how many bytes are allocated meanwhile, freed or not.
func allocates(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestListsOfTooManyServers(t *testing.T) {
	many := func(n int, one string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(one, i)
		}
		return strings.Join(all, ",")
	}
	for call, body := range map[string]func(n int) string{
		"peers":   func(n int) string { return `{"Servers":[` + many(n, `{"ID":"s%d"}`) + `]}` },
		"members": func(n int) string { return `[` + many(n, `{"Tags":{"role":"consul","id":"s%d"}}`) + `]` },
		"catalog": func(n int) string { return `[` + many(n, `{"ID":"s%d"}`) + `]` },
	} {
		t.Run(call, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(reads[call](agentOf(t, 0, "", answer(200, body(maxList))), t.Context())).To(Succeed())
			g.Expect(reads[call](agentOf(t, 0, "", answer(200, body(20_000))), t.Context())).To(MatchError(errStrange))
		})
	}
	g := NewWithT(t)
	clients := `[` + many(20_000, `{"Name":"client-%d","Tags":{"role":"node"}}`) + `,{"Name":"a","Tags":{"role":"consul"}}]`
	members, err := agentOf(t, 0, "", answer(200, clients)).Members(t.Context())
	g.Expect(err).NotTo(HaveOccurred(), "client agents are no servers")
	g.Expect(members).To(HaveLen(1))
	peers := `[` + strings.ReplaceAll(many(20_000, `{Suffrage:Voter ID:%d Address:a}`), ",", " ") + `]`
	g.Expect(readConfiguration(peers)).To(BeNil())
}

func TestNamesThatAreTooLong(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for call, body := range map[string]string{
		"self":    `{"Config":{"NodeID":"a","Version":"%s"}}`,
		"peers":   `{"Servers":[{"Node":"%s"}]}`,
		"members": `[{"Name":"%s","Tags":{"role":"consul"}}]`,
		"catalog": `[{"Node":"%s"}]`,
		"health":  `{"Servers":[{"ID":"%s","LastContact":"1s"}]}`,
	} {
		t.Run(call, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(reads[call](agentOf(t, 0, "", answer(200, fmt.Sprintf(body, long))), t.Context())).To(MatchError(errStrange))
			g.Expect(reads[call](agentOf(t, 0, "", answer(200, fmt.Sprintf(body, long[1:]))), t.Context())).To(Succeed())
		})
	}
	NewWithT(t).Expect(readConfiguration("[{Suffrage:Voter ID:" + long + " Address:a}]")).To(BeNil())
}

// A log without an end would keep a core busy: the stream ends, and is opened again after a growing pause.
func TestALogThatIsTooLong(t *testing.T) {
	for what, again := range map[string]string{"short lines": "\n", "one line": "x", "signs": leaderSigns[0] + "\n"} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			var written atomic.Int64
			a := agentOf(t, 10*time.Second, "", endless(http.StatusOK, "", again, &written))
			signs := 0
			g.Expect(a.WatchLeader(t.Context())(func() { signs++ })).To(MatchError(errStrange))
			g.Expect(written.Load()).To(BeNumerically("<", logBurst+(8<<20)))
			g.Expect(signs).To(BeNumerically("<", logBurst/lineCost))
		})
	}
}

// An agent may log much at a time, as at an election.
func TestALogOfAnElection(t *testing.T) {
	a := agentOf(t, 0, "", answer(200, strings.Repeat("[INFO]  agent: something happened to somebody\n", 5000)))
	NewWithT(t).Expect(a.WatchLeader(t.Context())(func() {})).To(MatchError(ErrUnanswered), "it ends as the answer does")
}

func TestAListOfNothing(t *testing.T) {
	g := NewWithT(t)
	var all list[int]
	g.Expect(json.Unmarshal([]byte("null"), &all)).To(Succeed())
	g.Expect(json.Unmarshal([]byte(`{"a":1}`), &all)).To(MatchError(errStrange))
	g.Expect(json.Unmarshal([]byte(`[1,"2"]`), &all)).To(HaveOccurred())
}
