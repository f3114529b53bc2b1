package conformance

import (
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// modeled is the world as the model has it. A server's place among the names is its slot.
type modeled struct {
	*WithT
	script *sim.Script
	names  []string
}

func (m *modeled) start(name string, expect int) {
	m.script.Start(uint8(expect)) //nolint:gosec // a handful of servers
	m.names = append(m.names, name)
}

func (m *modeled) rename(names []string) { m.names = names }

func (m *modeled) setMinQuorum(n int) {
	m.script.State.MinQuorum = uint8(n) //nolint:gosec // a handful of servers
}

func (m *modeled) do(deed sim.Deed, name string) { m.script.Do(deed, slot(m.names, name)) }

// await lets Consul go on until the facts are as wanted. They may already be.
func (m *modeled) await(want types.GomegaMatcher) {
	m.THelper()
	reached, violation := m.script.Advance(func(*sim.State) bool {
		is, err := want.Match(m.facts())
		return is && err == nil
	})
	m.Expect(violation).To(BeNil(), "in the model")
	if !reached {
		m.Expect(m.facts()).To(want, "in the model")
	}
}

// rest is how it is once Consul has nothing left to do.
func (m *modeled) rest() facts {
	m.THelper()
	_, violation := m.script.Advance(func(*sim.State) bool { return false })
	m.Expect(violation).To(BeNil(), "in the model")
	return m.facts()
}

func (m *modeled) facts() facts {
	state := &m.script.State
	leads := nobody
	if state.Leader >= 0 {
		leads = m.names[state.Leader]
	}
	f := facts{Leads: leads, Servers: map[string][]string{}}
	for i, name := range m.names {
		x := &state.Servers[i]
		process := up
		if x.Process == sim.Down {
			process = down
		}
		f.Servers[name] = about(process, suffrages[x.Peer], statuses[x.Serf], leads != nobody, x.Healthy)
		if x.Session && leads != nobody {
			f.Servers[name] = append(f.Servers[name], session)
		}
	}
	return f
}
