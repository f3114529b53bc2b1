package observe_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func (w *world) inPhase(phase v1alpha1.GossipPhase) {
	w.cluster.Annotations[v1alpha1.AnnotationGossip] = string(phase)
	w.cluster.Annotations[v1alpha1.AnnotationRecordsOf] = string(clusterUID)
}

func TestWhereGossipEncryptionLeads(t *testing.T) {
	for name, test := range map[string]struct {
		phase   v1alpha1.GossipPhase
		enabled *bool
		wanted  plan.Gossip
	}{
		"a cluster that says nothing has none": {"", nil, plan.Gossip{}},
		"nor does it lose what it has": {
			v1alpha1.GossipSending, nil, plan.Gossip{Phase: plan.GossipSending, Target: plan.GossipSending},
		},
		"on":  {v1alpha1.GossipAccepting, new(true), plan.Gossip{Phase: plan.GossipAccepting, Target: plan.GossipRequired}},
		"off": {v1alpha1.GossipAccepting, new(false), plan.Gossip{Phase: plan.GossipAccepting}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if test.phase != "" {
				w.inPhase(test.phase)
			}
			w.cluster.Spec.GossipEncryption.Enabled = test.enabled
			test.wanted.Rotation = w.look().Spec.Gossip.Rotation // see TestTheRotationOfTheGossipKey
			w.Expect(w.look().Spec.Gossip).To(Equal(test.wanted))
		})
	}
}

// A new cluster is encrypted, and whatever is there already stays as it is (I6).
func TestNewClustersAreEncrypted(t *testing.T) {
	founded := func(w *world) { w.claims, w.pods, w.cluster.Annotations = nil, nil, map[string]string{} }
	for name, test := range map[string]struct {
		changes []func(w *world)
		target  plan.GossipPhase
	}{
		"a new one":            {[]func(*world){founded}, plan.GossipRequired},
		"one that has servers": {nil, plan.GossipOff},
		"one whose pod is left": {[]func(*world){func(w *world) {
			w.claims, w.pods, w.cluster.Annotations = nil, w.pods[:1], nil
		}}, plan.GossipOff},
		"one that had a leader": {[]func(*world){founded, func(w *world) {
			w.cluster.Annotations = map[string]string{
				v1alpha1.AnnotationBootstrapped: "then", v1alpha1.AnnotationRecordsOf: string(clusterUID),
			}
		}}, plan.GossipOff},
		"one that was switched off": {[]func(*world){founded, func(w *world) { w.inPhase(v1alpha1.GossipOff) }}, plan.GossipOff},
		"one that does not want that": {[]func(*world){founded, func(w *world) {
			w.cluster.Spec.GossipEncryption.Enabled = new(false)
		}}, plan.GossipOff},
		"one with a key of its own": {[]func(*world){founded, func(w *world) {
			w.cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(`{"Encrypt": "x"}`)}
		}}, plan.GossipOff},
		"one that uses the names": {[]func(*world){founded, func(w *world) {
			w.cluster.Spec.PodTemplate.Volumes = []corev1.Volume{{Name: "gossip"}}
		}}, plan.GossipOff},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, change := range test.changes {
				change(w)
			}
			w.Expect(w.look().Spec.Gossip.Target).To(Equal(test.target))
		})
	}
}

// Who could be cut off is asked for while a phase lies ahead, and the keys only before servers get one and once all have it.
func TestWhomAPhaseCouldCutOff(t *testing.T) {
	shared := consul.Keyring{Members: 4, Keys: map[string]int{"a": 4}, Primary: map[string]int{"a": 4}}
	several := consul.Keyring{Members: 4, Keys: map[string]int{"a": 2, "b": 2}, Primary: map[string]int{"a": 2, "b": 2}}
	clients := []string{"app-1"}
	for name, test := range map[string]struct {
		phase   v1alpha1.GossipPhase
		enabled bool
		change  func(leader *agent)
		seen    plan.GossipMembers
	}{
		"nothing lies ahead": {v1alpha1.GossipRequired, true, func(a *agent) { a.silent["clients"] = true }, plan.GossipMembers{}},
		"there is no key yet": {
			"Off", true, func(a *agent) { a.keyless = consul.ErrNoKey }, plan.GossipMembers{ClientAgents: clients},
		},
		"I10 there is a key already": {
			"Off", true, func(a *agent) { a.keyring = shared }, plan.GossipMembers{ClientAgents: clients, Encrypted: true},
		},
		"the key is not asked for": {
			v1alpha1.GossipSending, true, func(a *agent) { a.silent["keyring"] = true }, plan.GossipMembers{ClientAgents: clients},
		},
		"all have the key": {
			v1alpha1.GossipAccepting, true, func(a *agent) { a.keyring = shared }, plan.GossipMembers{ClientAgents: clients},
		},
		"one has none": {
			v1alpha1.GossipAccepting, true,
			func(a *agent) {
				a.keyless = fmt.Errorf("%w: dc1 (LAN) error: 1/4 nodes reported failure", consul.ErrNoKey)
			},
			plan.GossipMembers{ClientAgents: clients, Keyless: "1/4 nodes without it"},
		},
		"they have several": {
			v1alpha1.GossipAccepting, true, func(a *agent) { a.keyring = several },
			plan.GossipMembers{ClientAgents: clients, Keyless: "the 4 members do not share one"},
		},
		"the leader does not tell the keys": {
			v1alpha1.GossipAccepting, true, func(a *agent) { a.silent["keyring"] = true },
			plan.GossipMembers{ClientAgents: clients, KeysUnanswered: errSay.Error()},
		},
		"the leader does not tell the clients": {
			v1alpha1.GossipSending, false, func(a *agent) { a.silent["clients"] = true },
			plan.GossipMembers{Unanswered: errSay.Error()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inPhase(test.phase)
			w.cluster.Spec.GossipEncryption.Enabled = &test.enabled
			w.serve()
			test.change(w.agent(0))
			s := w.look()
			w.Expect(s.Raft.Known).To(BeTrue(), "an answer that is missing costs nothing else")
			w.Expect(s.Raft.Gossip).To(Equal(test.seen))
		})
	}
}

// serve makes all servers serve with the wanted revision.
func (w *world) serve() {
	for _, pod := range w.pods {
		pod.Labels[v1alpha1.LabelRevision] = resources.Revision(w.cluster)
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
}

// Each member that has no key logs the question, so it is asked when the servers have theirs.
func TestWhenTheKeysAreAskedFor(t *testing.T) {
	w := newWorld(t)
	w.inPhase(v1alpha1.GossipAccepting)
	w.cluster.Spec.GossipEncryption.Enabled = new(true)
	w.serve()
	w.pods[1].Labels[v1alpha1.LabelRevision] = "older"
	w.agent(0).silent["keyring"] = true
	w.Expect(w.look().Raft.Gossip).To(Equal(plan.GossipMembers{ClientAgents: []string{"app-1"}}))
}

// How far a rotation is, and what members have of the key that stays.
func TestTheRotationOfTheGossipKey(t *testing.T) {
	first := resources.NewGossipKeys()
	coming := first.WithNext(resources.NewGossipKeys())
	going := coming.WithNewFirst()
	former, key := first.New(), coming.New()
	ring := consul.Keyring{
		Members: 4, Keys: map[string]int{former: 4, key: 3}, Primary: map[string]int{former: 3, key: 1},
	}
	seen := plan.Keyring{Members: 4, HaveKey: 3, UseKey: 1, OtherKeys: 1}
	tells := func(a *agent) { a.keyring = ring }
	clients := []string{"app-1"}
	told := plan.GossipMembers{ClientAgents: clients, Keyring: seen}
	for name, test := range map[string]struct {
		asked   bool
		keys    resources.GossipKeys
		change  func(leader *agent)
		stage   plan.KeyStage
		members plan.GossipMembers
	}{
		"none": {false, first, func(a *agent) { a.silent["clients"] = true }, plan.KeySettled, plan.GossipMembers{}},
		"the present one is told": {
			true, first, func(a *agent) {
				a.keyring = consul.Keyring{Members: 4, Keys: map[string]int{former: 4}, Primary: map[string]int{former: 4}}
			}, plan.KeySettled, plan.GossipMembers{ClientAgents: clients, Keyring: plan.Keyring{Members: 4, HaveKey: 4, UseKey: 4}},
		},
		"the key comes":       {false, coming, tells, plan.KeyComing, told},
		"the former one goes": {false, going, tells, plan.KeyGoing, told},
		"members forget it":   {false, going.Removing(), tells, plan.KeyRemoving, told},
		"nobody has it yet": {
			false, coming, func(a *agent) {
				a.keyring = consul.Keyring{Members: 4, Keys: map[string]int{former: 4}, Primary: map[string]int{former: 4}}
			}, plan.KeyComing, plan.GossipMembers{ClientAgents: clients, Keyring: plan.Keyring{Members: 4, OtherKeys: 1}},
		},
		"I10 an agent has failed meanwhile": {
			false, coming, func(a *agent) { a.keyring, a.clientDown = ring, true }, plan.KeyComing,
			plan.GossipMembers{ClientAgents: clients, DownAgents: clients, KeysUnanswered: "4 told them, and 3 are alive"},
		},
		"the leader does not tell the keys": {
			false, coming, func(a *agent) { a.silent["keyring"] = true }, plan.KeyComing,
			plan.GossipMembers{ClientAgents: clients, KeysUnanswered: errSay.Error()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inPhase(v1alpha1.GossipRequired)
			w.serve()
			secret := resources.GossipSecret(w.cluster, test.keys)
			resources.SetGossipKeys(secret, test.keys, now)
			w.others = append(w.others, secret)
			test.change(w.agent(0))
			if test.asked {
				w.cluster.Annotations[v1alpha1.AnnotationRotateGossipKey] = "today"
			}
			s := w.look()
			w.Expect(s.Raft.Known).To(BeTrue(), "an answer that is missing costs nothing else")
			w.Expect(s.Spec.Gossip.Rotation).To(Equal(plan.Rotation{
				Stage: test.stage, Replacement: plan.Replacement{Asked: test.asked, Since: now}, ShownAt: now.Add(secretDelay),
			}))
			w.Expect(s.Raft.Gossip).To(Equal(test.members))
		})
	}
}

// What the operator has not written, or not so, is not known.
func TestGossipKeysThatDoNotCount(t *testing.T) {
	for name, change := range map[string]func(secret *corev1.Secret){
		"damaged":       func(secret *corev1.Secret) { secret.Data["keyring"] = nil },
		"somebody else": func(secret *corev1.Secret) { secret.OwnerReferences[0].UID = "another" },
		"another kind":  func(secret *corev1.Secret) { secret.OwnerReferences[0].Kind = "ConfigMap" }, // which admission does not guard
		"another group": func(secret *corev1.Secret) { secret.OwnerReferences[0].APIVersion = "example.com/v1" },
		"gone":          func(secret *corev1.Secret) { secret.Name = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inPhase(v1alpha1.GossipRequired)
			secret := resources.GossipSecret(w.cluster, resources.NewGossipKeys().WithNext(resources.NewGossipKeys()))
			change(secret)
			w.others = append(w.others, secret)
			w.Expect(w.look().Spec.Gossip.Rotation.Stage).To(Equal(plan.KeyUnknown))
		})
	}
}

func TestARotationIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.inPhase(v1alpha1.GossipRequired)
	w.others = append(w.others, resources.GossipSecret(w.cluster, resources.NewGossipKeys()))
	w.Expect(w.look().Spec.Gossip.Rotation).To(Equal(plan.Rotation{ShownAt: time.Time{}.Add(secretDelay)}))
	w.cluster.Annotations[v1alpha1.AnnotationRotateGossipKey] = "today"
	config, err := v1alpha1.NewConfig(map[string]any{"ports": map[string]any{"serf_wan": 8302}})
	w.Expect(err).NotTo(HaveOccurred())
	w.cluster.Spec.Config = config
	rotation := w.look().Spec.Gossip.Rotation
	w.Expect(rotation.Replacement.Asked).To(BeTrue())
	w.Expect(rotation.Federated).To(BeTrue())
}

func TestWhoMayHaveTheGossipKey(t *testing.T) {
	foundNone := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	for name, test := range map[string]struct {
		phase   v1alpha1.GossipPhase
		state   corev1.ContainerState
		last    corev1.ContainerState
		mayHave bool
	}{
		"it was given none": {v1alpha1.GossipOff, corev1.ContainerState{}, corev1.ContainerState{}, false},
		"it was given one":  {v1alpha1.GossipAccepting, corev1.ContainerState{}, corev1.ContainerState{}, true},
		"it found none":     {v1alpha1.GossipRequired, foundNone, corev1.ContainerState{}, false},
		"it found none, and looks again": {
			v1alpha1.GossipRequired, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}, foundNone, false,
		},
		"it found one": {
			v1alpha1.GossipRequired, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}, corev1.ContainerState{}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pods[0].Annotations = map[string]string{v1alpha1.AnnotationGossip: string(test.phase)}
			w.pods[0].Status.InitContainerStatuses = []corev1.ContainerStatus{{
				Name: resources.ContainerGossipKey, State: test.state, LastTerminationState: test.last,
			}}
			w.Expect(w.look().Servers[0].Pod.MayHaveKey).To(Equal(test.mayHave))
		})
	}
}
