package observer

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestAllServersHaveToServe(t *testing.T) {
	g := NewWithT(t)
	server := func(state State, version string) ServerNow {
		return ServerNow{Name: "x", State: state, Version: version}
	}
	now := Snapshot{Leader: "consul-1", Voters: 2, Servers: []ServerNow{
		server(Gone, "1"), server(Serving, "2"), server(Serving, "2"),
	}}
	g.Expect(now.Unwanted(2, "2")).To(BeEmpty())
	g.Expect(now.Unwanted(3, "2")).To(ConsistOf("2 servers and 2 voters, 3 are wanted"))
	g.Expect(now.Unwanted(2, "3")).To(ConsistOf("x is serving and runs 2", "x is serving and runs 2"))
	now.Servers[1].State = Leaving
	g.Expect(now.Unwanted(2, "2")).To(ConsistOf("x is leaving and runs 2"))
	now.Servers[1].State, now.Leader, now.Voters = Serving, "", 3
	g.Expect(now.Unwanted(2, "2")).To(ConsistOf("2 servers and 3 voters, 2 are wanted", "no leader"))
}

func TestChangesAreWhatIsNotAsBefore(t *testing.T) {
	g := NewWithT(t)
	before := Snapshot{Leader: "consul-0", Term: 2, Servers: []ServerNow{
		{Name: "consul-0", State: Serving}, {Name: "consul-1", State: Joining},
	}}
	now := Snapshot{Servers: []ServerNow{{Name: "consul-0", State: Serving}, {Name: "consul-1", State: Serving}}}
	g.Expect(before.Changes(before)).To(BeEmpty())
	g.Expect(now.Changes(before)).To(Equal([]string{"consul-1 is serving", "no leader"}))
	g.Expect(before.Changes(now)).To(Equal([]string{"consul-1 is joining", "consul-0 leads, term 2"}))
}
