package timed

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// gossipKeys are what the model calls A and B.
type gossipKeys struct{ a, b string }

var keyStages = map[resources.GossipStage]plan.KeyStage{
	resources.GossipSettled: plan.KeySettled, resources.GossipComing: plan.KeyComing, resources.GossipGoing: plan.KeyGoing,
	resources.GossipRemoving: plan.KeyRemoving,
}

// StepOf is the step of a rotation that a write of the Secret of the gossip keys is; empty for none.
func (c *Cluster) StepOf(secret *corev1.Secret) plan.KeyStep {
	was, is := plan.KeyStage(c.State.Keys), keyStages[resources.GossipStageOf(secret)]
	if was == is {
		return ""
	}
	return map[plan.KeyStage]plan.KeyStep{
		plan.KeyComing: plan.AddKey, plan.KeyGoing: plan.PreferKey, plan.KeyRemoving: plan.DropKeys, plan.KeySettled: plan.SettleKey,
	}[is]
}

// WroteGossipKeys takes over what was written into the Secret of the gossip keys. It returns what is wrong with it: a key
// that it does not have any more, or not yet.
func (c *Cluster) WroteGossipKeys(secret *corev1.Secret) (wrong string) {
	var ring []string
	if err := json.Unmarshal(secret.Data["keyring"], &ring); err != nil {
		panic(err) // no test damages it
	}
	c.rotatedFor = secret.Annotations[v1alpha1.AnnotationRotatedFor]
	c.State.Rotate = c.rotationAsked != c.rotatedFor
	step := c.StepOf(secret)
	wanted := []string{c.keys.a}
	switch step {
	case plan.AddKey:
		c.keys.b = ring[len(ring)-1]
		wanted = []string{c.keys.a, c.keys.b}
	case plan.PreferKey:
		wanted = []string{c.keys.b, c.keys.a}
	case plan.DropKeys, plan.SettleKey:
		wanted = []string{c.keys.b}
	default:
		if c.keys.a == "" { // it is new
			c.keys.a, wanted = ring[0], ring
		}
	}
	if !slices.Equal(ring, wanted) {
		wrong = fmt.Sprintf("%s: the Secret has other gossip keys than it should after %q", secret.Name, step)
	}
	if step != "" {
		c.State.SetKeyStage(keyStages[resources.GossipStageOf(secret)])
	}
	if step == plan.SettleKey {
		c.keys = gossipKeys{a: c.keys.b, b: c.keys.a}
	}
	return wrong
}

// Keyring is what the members know of the gossip keys. All of them have to answer.
func (c *Cluster) Keyring() (consul.Keyring, error) {
	ring := consul.Keyring{Keys: map[string]int{}, Primary: map[string]int{}}
	for i, x := range c.State.Servers[:c.State.N] {
		if x.Serf != sim.Alive {
			continue
		}
		switch {
		case x.Ring == 0:
			return consul.Keyring{}, consul.ErrNoKey
		case x.Process != sim.Up:
			return consul.Keyring{}, fmt.Errorf("%s did not answer", c.Servers[i].Name)
		}
		ring.Members++
		if x.Ring&sim.HasA != 0 {
			ring.Keys[c.keys.a]++
		}
		if x.Ring&sim.HasB != 0 {
			ring.Keys[c.keys.b]++
		}
		primary := c.keys.a
		if x.Ring&sim.UsesB != 0 {
			primary = c.keys.b
		}
		ring.Primary[primary]++
	}
	return ring, nil
}

// IsNewKey reports whether a key is the one that takes the place of the former one.
func (c *Cluster) IsNewKey(key string) bool { return key == c.keys.b }

// IsFormerKey reports whether a key is the one whose place is taken.
func (c *Cluster) IsFormerKey(key string) bool { return key == c.keys.a }
