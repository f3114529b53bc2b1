package consul_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/consul-operator/consul-operator/test/sim"
)

func measure(t *testing.T, n int, deed sim.Deed, who string, d time.Duration, st settings) {
	t.Parallel()
	c := newCluster(t, "1.22.7", st)
	on := &stage{WithT: c.WithT, t: t, model: &modelled{WithT: c.WithT, script: sim.NewScript()}, real: c}
	on.model.setMinQuorum(st.minQuorum)
	founded(n).take(on)
	begin := time.Now()
	go func() { b := time.Now(); err := c.do(deed, who); fmt.Println(t.Name(), "answered after", time.Since(b), err) }()
	last := map[string]string{}
	for time.Since(begin) < d {
		for _, s := range c.servers {
			if !s.runs() || s.frozen { continue }
			self, err := s.Self(t.Context())
			ms, err2 := s.Members(t.Context())
			ps, err3 := s.RaftPeers(t.Context())
			line := fmt.Sprint(self.State, " term ", self.Term, " leader ", self.LeaderAddr, err)
			for _, m := range ms { line += fmt.Sprint(" ", m.Name, "=", m.Status) }
			line += fmt.Sprint(err2, " peers:")
			for _, p := range ps { line += fmt.Sprint(" ", p.Address, p.Voter) }
			line += fmt.Sprint(err3)
			if !reflect.DeepEqual(last[s.id], line) {
				last[s.id] = line
				fmt.Printf("%s %6.2f %-18s(%s) %s\n", t.Name(), time.Since(begin).Seconds(), c.name(s), s.ip, line)
			}
		}
	}
}

func TestTmpForceLeaveAlive(t *testing.T) { measure(t, 3, sim.ForceLeave, second, 90*time.Second, settings{3, "1s"}) }
func TestTmpLeaderOfTwo(t *testing.T) { measure(t, 2, sim.Leave, first, 20*time.Second, settings{2, "1s"}) }
func TestTmpForceLeaveSelf(t *testing.T) { measure(t, 3, sim.ForceLeave, first, 30*time.Second, settings{3, "1s"}) }
