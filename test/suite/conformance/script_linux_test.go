package conformance

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// script is a behavior of Consul. Its steps are taken in the model and in real Consul.
type script struct {
	behavior string
	settings settings
	steps    []step
}

type step struct {
	name string
	take func(*stage)
}

// stage is where a script is played: in both worlds, step by step.
type stage struct {
	*WithT
	t     *testing.T
	model *modeled
	real  *cluster
}

// The parts of a script. Founders are told apart once somebody leads.
const (
	first    = "the first leader"
	second   = "a follower"
	third    = "another follower"
	fourth   = "a third follower"
	newcomer = "the newcomer"
)

var founders = []string{first, second, third, fourth}

// slot is the place of a server among the names.
func slot(names []string, name string) int {
	i := slices.Index(names, name)
	if i < 0 {
		panic("no server is " + name)
	}
	return i
}

func (s *script) play(t *testing.T) {
	settings := s.settings
	if settings.minQuorum == 0 {
		settings.minQuorum = 3
	}
	if settings.stabilization == "" {
		settings.stabilization = "1s"
	}
	on := &stage{
		WithT: NewWithT(t), t: t,
		model: &modeled{WithT: NewWithT(t), script: sim.NewScript()}, real: newCluster(t, "1.22.7", settings),
	}
	on.model.setMinQuorum(settings.minQuorum)
	for _, step := range s.steps {
		begin := time.Now()
		step.take(on)
		t.Logf("%5.1f s  %s", time.Since(begin).Seconds(), step.name)
	}
	on.Expect(on.real.lost()).To(BeEmpty(), "acknowledged writes")
	// Where nobody leads for longer than the session lasts, it may end. So it was once, when a leave that usually takes 15 s
	// without a leader took 46 s, and the same leader went on.
	if lost := on.real.lock.Check(t.Context()); !load.Unrenewed(lost) {
		on.Expect(lost).NotTo(HaveOccurred(), "by a session of a node that is no server's")
	}
}

// founded is a cluster of n servers that were started together with empty disks.
func founded(n int) step {
	return step{fmt.Sprintf("%d servers found a cluster", n), func(on *stage) {
		for i := range n {
			name := fmt.Sprintf("founder %d", i+1)
			on.model.start(name, n)
			on.real.start(name, n)
		}
		founded := on.model.rest()
		on.real.await(sayAs(founded))
		on.model.rename(cast(on.model.names, founded.Leads))
		on.real.rename(cast(on.real.names, on.real.name(on.real.leader())))
		on.real.write()
		on.real.takeLock()
	}}
}

// cast gives the founders their parts.
func cast(names []string, leader string) []string {
	followers, parts := founders[1:], []string{}
	for _, name := range names {
		if name == leader {
			parts = append(parts, first)
			continue
		}
		parts, followers = append(parts, followers[0]), followers[1:]
	}
	return parts
}

// newcomerStarts is a new server with an empty disk. expect is its bootstrap_expect, 0 for none.
func newcomerStarts(expect int) step {
	return step{fmt.Sprintf("the newcomer starts, bootstrap_expect %d", expect), func(on *stage) {
		on.model.start(newcomer, expect)
		on.real.start(newcomer, expect)
	}}
}

// does is tried again while Consul refuses it: on a busy machine it may be between two leaders at any moment.
func does(deed sim.Deed, name string) step {
	return step{fmt.Sprintf("%s: %s", deed, name), func(on *stage) {
		on.model.do(deed, name)
		on.Eventually(on.real.do).WithArguments(deed, name).
			WithTimeout(patience).WithPolling(interval).Should(Succeed(), "%s: %s", deed, name)
	}}
}

// refuses is a deed that Consul refuses. The model has no errors; there it changes nothing.
func refuses(deed sim.Deed, name string) step {
	return step{fmt.Sprintf("refused: %s: %s", deed, name), func(on *stage) {
		before := on.model.rest()
		on.model.do(deed, name)
		on.Expect(on.model.facts()).To(Equal(before), "in the model")
		on.Expect(on.real.do(deed, name)).NotTo(Succeed(), "%s: %s", deed, name)
	}}
}

func minQuorum(n int) step {
	return step{fmt.Sprintf("min_quorum becomes %d", n), func(on *stage) {
		on.model.setMinQuorum(n)
		on.real.setMinQuorum(n)
	}}
}

// writes is an acknowledged write. The model calls all that miss one behind, and never lets one of them lead.
func writes() step {
	return step{"a write is acknowledged", func(on *stage) { on.real.write() }}
}

// until both worlds say this of a server, if only for a moment.
func until(name string, words ...string) step {
	return step{fmt.Sprintf("until %s is %s", name, strings.Join(words, ", ")), func(on *stage) {
		on.model.await(sayOf(name, words...))
		on.real.await(sayOf(name, words...))
	}}
}

// leads waits until one of these leads in both worlds.
func leads(who ...string) step {
	return step{fmt.Sprintf("until %s leads", strings.Join(who, " or ")), func(on *stage) {
		on.model.await(sayLeads(who...))
		on.real.await(sayLeads(who...))
	}}
}

// same compares both worlds when nothing is left to happen.
func same() step {
	return step{"both worlds are the same", func(on *stage) { on.real.await(sayAs(on.model.rest())) }}
}

// stays compares both worlds, and again for a while, where it matters that something does not happen.
func stays() step {
	return step{"both worlds stay the same", func(on *stage) {
		want := sayAs(on.model.rest())
		on.real.await(want)
		on.real.stay(want)
	}}
}

// TestMain plays four scripts at a time: they wait for Consul's timers and cost little.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
