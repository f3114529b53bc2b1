// Package timed is the model of test/lib/sim with names and a clock: one ConsulCluster and its servers. What is written to an API
// server changes it (objects.go), what Consul and Kubernetes do by themselves takes as long as it does in reality, and its agents
// answer from it (answers.go). Whoever uses it brings the API server and lets time pass.
package timed

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/consul-operator/consul-operator/test/lib/sim"
)

const (
	// StartsAgain is what the kubelet does by the pod's restartPolicy.
	StartsAgain = "container is started again"
	// starts is what the kubelet does first.
	starts = "starts"
	// Evicted is what the control plane does to the pods of a node that it has not heard of for a while.
	Evicted = "is deleted with its dead node"
)

// takes is how long things take, as measured on real Consul and Kubernetes (docs/architecture.md).
var takes = map[string]time.Duration{
	starts:                                     time.Second,
	"is told to stop":                          100 * time.Millisecond,
	"is seen to leave":                         500 * time.Millisecond,
	"has left":                                 3500 * time.Millisecond,
	"pod is gone":                              300 * time.Millisecond,
	"claim is gone":                            200 * time.Millisecond,
	"agent answers again":                      30 * time.Second,
	"node is back":                             time.Minute,
	"does not answer and is killed":            time.Minute,
	"has not stopped in time and is killed":    30 * time.Second,
	Evicted:                                    5 * time.Minute,
	"should be gone by now":                    55 * time.Second, // before the operator calls it so
	"is unhealthy for long":                    5 * time.Minute,
	"founds the cluster":                       2 * time.Second,
	"steps down":                               500 * time.Millisecond,
	"is elected":                               2 * time.Second,
	"joins Serf":                               time.Second,
	"is seen to be dead":                       6 * time.Second,
	"is added to Raft":                         500 * time.Millisecond,
	"catches up":                               500 * time.Millisecond,
	"autopilot looks":                          2 * time.Second,
	"is promoted":                              14 * time.Second,
	"endpoints follow":                         100 * time.Millisecond,
	"clients have noticed":                     500 * time.Millisecond,
	"kubelets show the gossip keys":            time.Minute,
	"kubelets show the ACL tokens":             time.Minute,
	StartsAgain:                                time.Second,
	"is cleaned up by autopilot":               10 * time.Second,
	"the leader becomes stable":                10 * time.Second,
	"left, so the leader removes it from Raft": time.Second,
}

// Server is what the model does not know of the server in a slot.
type Server struct {
	Name, ID string
	// IP and Version are those of its pod, while there is one, and how often its container was started again.
	IP, Version string
	Restarts    int
	// Settings are those that its process has read last, by their hash; Given are those in its file.
	Settings, Given string
	// recovery is the operator's token at its agent.
	recovery string
	// Certified is what its process has read of the certificate, and mounted is when its pod was shown it first.
	Certified certified
	mounted   time.Time
}

// backOff is how long the kubelet waits until it starts a container again: not at all, 10 s, 20 s, 40 s and so on.
func (x Server) backOff() time.Duration {
	if x.Restarts == 0 {
		return takes[StartsAgain]
	}
	return min(10*time.Second<<(x.Restarts-1), 5*time.Minute)
}

// Happening is what will happen unless something else makes it impossible before.
type Happening struct {
	sim.Happening
	At time.Time
}

// Starts reports whether a process starts.
func (h Happening) Starts() bool { return h.Name() == starts || h.Name() == StartsAgain }

// Cluster is one ConsulCluster and its servers. One that was deleted lives on for as long as its servers do.
type Cluster struct {
	UID     types.UID
	Name    string
	State   sim.State
	Servers [sim.MaxServers]Server
	Term    uint64
	Pending []Happening
	// Pace is how many times faster than in reality everything is.
	Pace time.Duration
	// recovery is the id of the recovery that is under way; empty for none.
	recovery string
	// keys are the gossip keys that the Secret holds, for rotatedFor. A user asks for those of rotationAsked.
	keys                      gossipKeys
	rotationAsked, rotatedFor string
	tokens                    tokens
	// certificates is what the Secret of the certificate has held.
	certificates []written
}

// New is a cluster before its first server.
func New(uid types.UID, name string) Cluster {
	return Cluster{UID: uid, Name: name, State: sim.NewState(0, 0), Pace: 1}
}

// Clone is a copy that shares nothing with the cluster.
func (c *Cluster) Clone() Cluster {
	clone := *c
	clone.Pending, clone.tokens.rights = slices.Clone(c.Pending), maps.Clone(c.tokens.rights)
	return clone
}

// Slot of a server; -1 if it is not known, or no more.
func (c *Cluster) Slot(is func(Server) bool) int {
	return slices.IndexFunc(c.Servers[:c.State.N], is)
}

// Named is the slot of the server of a name.
func (c *Cluster) Named(name string) int {
	return c.Slot(func(x Server) bool { return x.Name == name })
}

// Change does something to the state, and sets the times of what follows from it. It reports whether somebody else leads now.
func (c *Cluster) Change(at time.Time, do func(*sim.State)) (elected bool) {
	before := c.State.Leader
	do(&c.State)
	if c.State.Leader != before && c.State.Leader != sim.Nobody {
		c.Term++
		elected = true
	}
	c.reschedule(at)
	return elected
}

// reschedule sets the time for what has become possible, and forgets what is possible no more.
func (c *Cluster) reschedule(at time.Time) {
	var pending []Happening
	for _, next := range sim.Progress(&c.State) {
		if next.Unreliable() && !c.State.Returns {
			continue
		}
		after, known := takes[next.Name()]
		if !known {
			panic("nobody knows how long it takes that a server " + next.Name())
		}
		if next.Name() == StartsAgain {
			after = c.Servers[next.Slot()].backOff()
		}
		due := at.Add(after / c.Pace)
		if i := slices.IndexFunc(c.Pending, func(h Happening) bool { return h.Happening == next }); i >= 0 {
			due = c.Pending[i].At
		}
		pending = append(pending, Happening{next, due})
	}
	c.Pending = pending
}

// Next is what happens first, and whether there is anything.
func (c *Cluster) Next() (Happening, bool) {
	if i := c.first(); i >= 0 {
		return c.Pending[i], true
	}
	return Happening{}, false
}

// Due takes what happens first out of what is pending, if it is due by now.
func (c *Cluster) Due(now time.Time) (Happening, bool) {
	i := c.first()
	if i < 0 || c.Pending[i].At.After(now) {
		return Happening{}, false
	}
	next := c.Pending[i]
	c.Pending = slices.Delete(c.Pending, i, i+1)
	return next, true
}

func (c *Cluster) first() int {
	first := -1
	for i, h := range c.Pending {
		if first < 0 || h.At.Before(c.Pending[first].At) {
			first = i
		}
	}
	return first
}

// ReadFiles is what a process does when it starts, and when it is told to.
func (c *Cluster) ReadFiles(slot int, now time.Time) {
	c.Servers[slot].Settings = c.Servers[slot].Given
	c.readTokens(slot)
	c.readCertificate(slot, now)
}

// Happen is a change of the state: what was due happens.
func (c *Cluster) Happen(next Happening) *sim.Violation {
	if next.Name() == StartsAgain {
		c.Servers[next.Slot()].Restarts++
	}
	violation := next.Happen(&c.State)
	if next.Name() == starts {
		c.Servers[next.Slot()].mounted = next.At
	}
	if next.Starts() {
		c.ReadFiles(next.Slot(), next.At)
	}
	return violation
}
