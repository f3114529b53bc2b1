package plan_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

// rotation is a healthy, encrypted cluster in which the rotation of the gossip key is so far.
func rotation(stage plan.KeyStage, ring plan.Keyring, changes ...func(o *plan.Observation)) func(o *plan.Observation) {
	return phase(plan.GossipRequired, plan.GossipRequired, append([]func(o *plan.Observation){func(o *plan.Observation) {
		o.Spec.Gossip.Rotation.Stage, o.Raft.Gossip.Keyring = stage, ring
	}}, changes...)...)
}

func TestRotateGossip(t *testing.T) {
	const (
		settled, coming, going = plan.KeySettled, plan.KeyComing, plan.KeyGoing
		removing, unknown      = plan.KeyRemoving, plan.KeyUnknown
		rotates, waits         = reason.RotatingGossipKey, reason.WaitingForMembers
	)
	nobody := plan.Keyring{}
	ring := func(have, use, others int) plan.Keyring {
		return plan.Keyring{Members: 4, HaveKey: have, UseKey: use, OtherKeys: others}
	}
	asked := func(o *plan.Observation) { o.Spec.Gossip.Rotation.Replacement.Asked = true }
	federated := func(o *plan.Observation) { o.Spec.Gossip.Rotation.Federated = true }
	unseen := func(o *plan.Observation) { o.Spec.Gossip.Rotation.ShownAt = noon.Add(time.Second) }
	off := func(o *plan.Observation) { o.Spec.Gossip.Phase, o.Spec.Gossip.Target = plan.GossipOff, plan.GossipOff }
	switched := func(o *plan.Observation) { o.Spec.Gossip.Target = plan.GossipOff }
	down := func(o *plan.Observation) { o.Raft.Gossip.DownAgents = []string{"app-1"} }
	unanswered := func(o *plan.Observation) { o.Raft.Gossip.Unanswered = "timed out" }
	keyless := func(o *plan.Observation) { o.Raft.Gossip.Keyless = "1/4 nodes without it" }
	missing := func(o *plan.Observation) { o.Servers[2].Pod.Running = false }
	isPaused := func(o *plan.Observation) { o.Spec.Paused = true }
	newLeader := func(o *plan.Observation) { o.Raft.LeaderSince = noon }
	takes := func(s plan.KeyStep) plan.Action { return plan.RotateGossip{Step: s} }
	testSteps(t, map[string]stepTest{
		"I5 nobody asks for it":                    {rotation(settled, nobody), nil, reason.Healthy},
		"a user asks for it":                       {rotation(settled, ring(4, 4, 0), asked), takes(plan.AddKey), rotates},
		"nobody tells the present key":             {rotation(settled, nobody, asked, unanswered), nil, waits},
		"I10 the members have another one":         {rotation(settled, ring(4, 3, 1), asked), nil, waits},
		"coming: all get the new key":              {rotation(coming, ring(1, 0, 1), unseen), takes(plan.InstallKey), rotates},
		"I10 coming: pods may not be shown it":     {rotation(coming, ring(4, 0, 1), unseen), nil, rotates},
		"I10 coming: an agent that is down":        {rotation(coming, ring(4, 0, 1), down), nil, waits},
		"I10 coming: all have it, and use it":      {rotation(coming, ring(4, 0, 1)), takes(plan.PreferKey), rotates},
		"a second request waits for the first":     {rotation(coming, ring(4, 0, 1), asked), takes(plan.PreferKey), rotates},
		"I10 going: somebody lacks it":             {rotation(going, ring(3, 0, 2), unseen), takes(plan.InstallKey), rotates},
		"going: somebody does not use it":          {rotation(going, ring(4, 1, 1), unseen), takes(plan.UseKey), rotates},
		"going: an agent that is down needs it":    {rotation(going, ring(4, 1, 1), down), takes(plan.UseKey), rotates},
		"I10 going: pods may be shown the former":  {rotation(going, ring(4, 4, 1), unseen), nil, rotates},
		"going: the Secret forgets the former one": {rotation(going, ring(4, 4, 1)), takes(plan.DropKeys), rotates},
		"I10 removing: somebody lacks the new one": {rotation(removing, ring(3, 3, 1), unseen), takes(plan.InstallKey), rotates},
		"I10 removing: somebody uses the former":   {rotation(removing, ring(4, 3, 1), unseen), takes(plan.UseKey), rotates},
		"I10 removing: pods may be shown it":       {rotation(removing, ring(4, 4, 1), unseen), nil, rotates},
		"I10 removing: an agent that is down":      {rotation(removing, ring(4, 4, 1), down), nil, waits},
		"removing: all forget the former one":      {rotation(removing, ring(4, 4, 1)), takes(plan.RemoveKeys), rotates},
		"removing: it is over":                     {rotation(removing, ring(4, 4, 0)), takes(plan.SettleKey), rotates},
		"I10 not all tell their keys":              {rotation(going, nobody, unanswered), nil, waits},
		"I10 not all have the present key":         {rotation(coming, nobody, keyless), nil, waits},
		"the keys were not asked for":              {rotation(coming, nobody), nil, rotates},
		"the Secret is not there":                  {rotation(unknown, nobody, asked), nil, rotates},
		"the Secret is not there, nor a request":   {rotation(unknown, nobody), nil, reason.Healthy},
		"other datacenters would get the key":      {rotation(settled, nobody, asked, federated), nil, reason.InvalidSpec},
		"they would still":                         {rotation(coming, ring(4, 0, 1), federated), nil, reason.InvalidSpec},
		"nobody asks them":                         {rotation(settled, nobody, federated), nil, reason.Healthy},
		"a server is missing":                      {rotation(coming, ring(4, 0, 1), missing), nil, reason.WaitingForServer},
		"a new leader has to be stable":            {rotation(coming, ring(4, 0, 1), newLeader), nil, reason.LeaderNotStable},
		"paused":                                   {rotation(coming, ring(4, 0, 1), isPaused), nil, reason.Paused},
		"there is no key":                          {rotation(settled, nobody, asked, off), nil, reason.Healthy},
		"a phase goes first": {
			rotation(coming, ring(1, 0, 1), switched), plan.SetGossip{Phase: plan.GossipSending}, reason.SecuringGossip,
		},
	})
}

func TestGossipKeySource(t *testing.T) {
	server := func(name string, phase plan.GossipPhase, mayHave, answers bool) plan.Server {
		return plan.Server{
			Name: name, Pod: &plan.Pod{Gossip: phase, MayHaveKey: mayHave}, Agent: plan.Agent{Answered: answers},
		}
	}
	for name, test := range map[string]struct {
		servers []plan.Server
		source  plan.KeySource
	}{
		"a new cluster gets a new key": {nil, plan.KeySource{New: true}},
		"so does one whose servers certainly have none": {
			[]plan.Server{server("consul-0", plan.GossipOff, false, true), server("consul-1", plan.GossipAccepting, false, false)},
			plan.KeySource{New: true},
		},
		"I10 a server tells it": {
			[]plan.Server{server("consul-0", plan.GossipOff, false, true), server("consul-1", plan.GossipAccepting, true, true)},
			plan.KeySource{Server: "consul-1"},
		},
		"I10 none answers": {[]plan.Server{server("consul-0", plan.GossipRequired, true, false)}, plan.KeySource{}},
		"I10 a server without a pod may have one": {
			[]plan.Server{{Name: "consul-0"}, server("consul-1", plan.GossipOff, false, true)}, plan.KeySource{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(plan.Observation{Servers: test.servers}.GossipKeySource()).To(Equal(test.source))
		})
	}
}
