package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// searchesLeader is how long Consul looks for a leader before it says that there is none.
const searchesLeader = 7 * time.Second

// agent is the HTTP API of one server, as far as the operator uses it.
type agent struct {
	c    *cluster
	name string
}

// answers by method and path. Each is called with the lock of its cluster.
var answers = map[string]func(a *agent, slot int, r *http.Request) (any, error){
	"GET /v1/operator/raft/configuration": func(a *agent, _ int, _ *http.Request) (any, error) {
		return raftConfiguration(a.c.Peers()), nil
	},
	"GET /v1/status/leader": func(a *agent, slot int, _ *http.Request) (any, error) {
		return a.c.Self(slot).LeaderAddr, nil
	},
	"GET /v1/agent/members": func(a *agent, _ int, _ *http.Request) (any, error) {
		return members(a.c.Members()), nil
	},
	"GET /v1/catalog/service/consul": func(a *agent, _ int, _ *http.Request) (any, error) {
		return catalog(a.c.Catalog()), nil
	},
	"GET /v1/operator/autopilot/health":        (*agent).health,
	"GET /v1/operator/autopilot/configuration": (*agent).autopilot,
	"PUT /v1/operator/autopilot/configuration": (*agent).setAutopilot,
	"POST /v1/operator/raft/transfer-leader":   (*agent).transfer,
	"DELETE /v1/operator/raft/peer":            (*agent).removePeer,
	"PUT /v1/agent/force-leave/{node}":         (*agent).forceLeave,
	"PUT /v1/agent/reload":                     (*agent).reload,
	"GET /v1/acl/policy/name/{name}": func(*agent, int, *http.Request) (any, error) {
		return nil, refusal{http.StatusNotFound, "ACL not found"}
	},
	"PUT /v1/acl/policy": (*agent).makePolicy,
	"PUT /v1/acl/token":  (*agent).makeToken,
}

const (
	pathForceLeave = "/v1/agent/force-leave/"
	pathPolicyName = "/v1/acl/policy/name/"
)

// needsLeader are the calls that a server forwards to its leader.
func needsLeader(path string) bool {
	return strings.HasPrefix(path, "/v1/operator/autopilot/") || strings.HasPrefix(path, "/v1/acl/") ||
		strings.HasPrefix(path, "/v1/operator/raft/") && path != "/v1/operator/raft/configuration"
}

// refusal is an error of Consul's with its status.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.c.w.calls.Add(1)
	if !a.await(r.Context(), func(int) bool { return true }) {
		panic(http.ErrAbortHandler) // it has ended, or the caller has no more patience
	}
	if a.isRefused(r) {
		http.Error(w, "Permission denied", http.StatusForbidden)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/agent/self":
		a.self(w)
	case "GET /v1/agent/monitor":
		a.monitor(w, r)
	case "GET /v1/health/service/consul":
		a.blockingQuery(w, r)
	case "PUT /v1/agent/leave":
		a.do(func(s *sim.State, slot int) { s.LeaveCluster(slot) })
		<-r.Context().Done() // it is answered when the server is gone
	default:
		a.answer(w, r)
	}
}

// await waits until the agent sees what is asked for, and does not hang. It reports whether it does.
func (a *agent) await(ctx context.Context, sees func(slot int) bool) bool {
	for {
		a.c.mu.Lock()
		slot, changed := a.c.Named(a.name), a.c.changed
		seen := slot >= 0 && !a.c.hangs && sees(slot)
		a.c.mu.Unlock()
		if slot < 0 || seen {
			return seen
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// do changes the state.
func (a *agent) do(change func(s *sim.State, slot int)) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if slot := a.c.Named(a.name); slot >= 0 {
		a.c.change(func(s *sim.State) { change(s, slot) })
	}
}

func (a *agent) answer(w http.ResponseWriter, r *http.Request) {
	key := r.Method + " " + r.URL.Path
	if node, is := strings.CutPrefix(r.URL.Path, pathForceLeave); is {
		r.SetPathValue("node", node)
		key = "PUT " + pathForceLeave + "{node}"
	}
	if strings.HasPrefix(r.URL.Path, pathPolicyName) {
		key = r.Method + " " + pathPolicyName + "{name}"
	}
	find := answers[key]
	if find == nil {
		http.NotFound(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), searchesLeader)
	defer cancel()
	var (
		answer any
		err    error = refusal{http.StatusInternalServerError, "No cluster leader"}
	)
	a.await(ctx, func(slot int) bool {
		if needsLeader(r.URL.Path) && !a.c.State.Works() {
			return false
		}
		answer, err = find(a, slot, r)
		return true
	})
	reply(w, answer, err)
}

func reply(w http.ResponseWriter, answer any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if refused, is := err.(refusal); is { //nolint:errorlint // made here, and never wrapped
		w.WriteHeader(refused.status)
		if answer == nil {
			_, _ = w.Write([]byte(refused.text)) // to a caller that may be gone
			return
		}
	}
	_ = json.NewEncoder(w).Encode(answer) // the same
}

// restOfSelf is what else is in the answer of agent/self, which has 40 kB in reality: the configuration, of which nobody reads
// anything.
var restOfSelf = func() string {
	rest := map[string]string{}
	for i := range 400 {
		rest[fmt.Sprintf("SomeFieldOfTheConfiguration%03d", i)] = strings.Repeat("value ", 10)
	}
	text, err := json.Marshal(rest)
	if err != nil {
		panic(err) // text can be encoded
	}
	return string(text)
}()

func (a *agent) self(w http.ResponseWriter) {
	a.c.mu.Lock()
	slot := a.c.Named(a.name)
	if slot < 0 {
		a.c.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	self := a.c.Self(slot)
	ips := map[string]string{}
	for _, server := range a.c.Servers[:a.c.State.N] {
		ips[server.ID] = server.IP
	}
	a.c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	// To a caller that may be gone.
	_, _ = fmt.Fprintf(w, `{"Config": {"NodeID": %q, "NodeName": %q, "Version": %q, "Server": true}, "Meta": {%q: %q}, `+
		`"DebugConfig": %s, "Stats": {"consul": {"leader_addr": %q, "server": "true"}, "raft": {"state": %q, "term": "%d", `+
		`"last_log_index": "%d", "last_log_term": "%d", "latest_configuration": %q}}}`,
		self.NodeID, a.name, self.Version, v1alpha1.NodeMetaSettings, self.Settings,
		restOfSelf, self.LeaderAddr, raftState(self), self.Term, self.LastIndex, self.LastTerm, printed(self.Peers, ips))
}

func raftState(self consul.Self) string {
	if self.Leads {
		return "Leader"
	}
	return "Follower"
}

// printed is a configuration as Raft prints it.
func printed(peers []plan.Peer, ips map[string]string) string {
	var texts []string
	for _, peer := range peers {
		suffrage := "Nonvoter"
		if peer.Voter {
			suffrage = "Voter"
		}
		texts = append(texts, fmt.Sprintf("{Suffrage:%s ID:%s Address:%s:8300}", suffrage, peer.ID, ips[peer.ID]))
	}
	return "[" + strings.Join(texts, " ") + "]"
}

func raftConfiguration(peers []plan.Peer) *api.RaftConfiguration {
	answer := &api.RaftConfiguration{Index: 1}
	for _, peer := range peers {
		answer.Servers = append(answer.Servers, &api.RaftServer{ID: peer.ID, Node: peer.Name, Voter: peer.Voter})
	}
	return answer
}

// serfNumbers are the statuses as Serf numbers them.
var serfNumbers = map[plan.MemberStatus]int{
	plan.MemberAlive: 1, plan.MemberLeaving: 2, plan.MemberLeft: 3, plan.MemberFailed: 4,
}

func members(all []plan.Member) []api.AgentMember {
	answer := []api.AgentMember{}
	for _, member := range all {
		answer = append(answer, api.AgentMember{
			Name: member.Name, Port: 8301, Status: serfNumbers[member.Status],
			Tags: map[string]string{
				"role": "consul", "id": member.ID, "build": member.Version + ":0", "dc": "dc1", "port": "8300", "vsn": "2", "raft_vsn": "3",
			},
		})
	}
	return answer
}

func catalog(nodes []plan.Node) []api.CatalogService {
	answer := []api.CatalogService{}
	for _, node := range nodes {
		answer = append(answer, api.CatalogService{ID: node.ID, Node: node.Name, ServiceName: "consul"})
	}
	return answer
}

func (a *agent) health(int, *http.Request) (any, error) {
	answer := &api.OperatorHealthReply{Healthy: true}
	for id, health := range a.c.Health() {
		healthy := health == plan.HealthHealthy
		answer.Healthy = answer.Healthy && healthy
		answer.Servers = append(answer.Servers, api.ServerHealth{
			ID: id, Healthy: healthy, SerfStatus: "alive", LastContact: api.NewReadableDuration(0), StableSince: time.Now(),
		})
	}
	if !answer.Healthy {
		return answer, refusal{status: http.StatusTooManyRequests}
	}
	return answer, nil
}

func (a *agent) autopilot(int, *http.Request) (any, error) {
	return &api.AutopilotConfiguration{CleanupDeadServers: true, MinQuorum: uint(a.c.State.MinQuorum), ModifyIndex: 1}, nil
}

func (a *agent) setAutopilot(_ int, r *http.Request) (any, error) {
	var wanted api.AutopilotConfiguration
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		return nil, refusal{http.StatusBadRequest, err.Error()}
	}
	a.c.State.MinQuorum = uint8(wanted.MinQuorum) //nolint:gosec // at most 7
	return true, nil
}

func (a *agent) transfer(_ int, r *http.Request) (any, error) {
	to := a.c.slotOf(r.FormValue("id"))
	if to < 0 {
		return nil, refusal{http.StatusInternalServerError, "Could not find address for server id"}
	}
	a.c.change(func(s *sim.State) { s.TransferLeadership(to) })
	return &api.TransferLeaderResponse{Success: true}, nil
}

func (a *agent) removePeer(_ int, r *http.Request) (any, error) {
	gone := a.c.slotOf(r.FormValue("id"))
	if gone < 0 || a.c.State.Servers[gone].Peer == sim.NoPeer {
		return nil, refusal{http.StatusInternalServerError, "was not found in the Raft configuration"}
	}
	a.c.change(func(s *sim.State) { s.RemovePeer(gone) })
	return nil, nil
}

func (a *agent) forceLeave(_ int, r *http.Request) (any, error) {
	gone := a.c.Named(r.PathValue("node"))
	if gone < 0 || a.c.State.Servers[gone].Serf == sim.Absent {
		return nil, refusal{http.StatusInternalServerError, "agent: No node found with name"}
	}
	a.c.change(func(s *sim.State) { s.ForceLeave(gone) })
	return nil, nil
}

func (a *agent) reload(slot int, _ *http.Request) (any, error) {
	a.c.ReadFiles(slot, time.Now())
	return nil, nil
}

func (c *cluster) slotOf(id string) int {
	for i, server := range c.Servers[:c.State.N] {
		if server.ID == id {
			return i
		}
	}
	return -1
}

// blockingQuery waits until the servers in the catalog change.
func (a *agent) blockingQuery(w http.ResponseWriter, r *http.Request) {
	index, _ := strconv.ParseUint(r.FormValue("index"), 10, 64) // absent: 0
	if wait, err := time.ParseDuration(r.FormValue("wait")); err == nil && index > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		a.c.count(&a.c.queries, 1)
		a.await(ctx, func(int) bool { return a.c.index != index })
		a.c.count(&a.c.queries, -1)
	}
	a.c.mu.Lock()
	index = a.c.index
	a.c.mu.Unlock()
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	reply(w, []string{}, nil)
}

// monitor is the agent's log: it tells of a new leader.
func (a *agent) monitor(w http.ResponseWriter, r *http.Request) {
	a.c.mu.Lock()
	term, leader := a.c.Term, a.c.State.Leader
	a.c.mu.Unlock()
	a.c.count(&a.c.streams, 1)
	defer a.c.count(&a.c.streams, -1)
	w.WriteHeader(http.StatusOK)
	for {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		if !a.await(r.Context(), func(int) bool { return a.c.Term != term || a.c.State.Leader != leader }) {
			return
		}
		a.c.mu.Lock()
		term, leader = a.c.Term, a.c.State.Leader
		a.c.mu.Unlock()
		line := "[INFO]  agent.server: New leader elected: payload=" + sim.Name(max(0, int(leader)))
		if leader == sim.Nobody {
			line = "[WARN]  agent.server.raft: heartbeat timeout reached, starting election"
		}
		_, _ = fmt.Fprintln(w, time.Now().Format(time.RFC3339), line) // Flush tells
	}
}

func (c *cluster) count(requests *int, by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*requests += by
}
