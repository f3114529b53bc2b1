package execute_test

import (
	"context"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// keyring is the leader's agent, and what it is told to do with which key.
type keyring struct {
	ring
	told []string
}

func (k *keyring) tell(what, key string) error {
	k.told = append(k.told, what+" "+key)
	return nil
}

func (k *keyring) InstallGossipKey(_ context.Context, key string) error {
	return k.tell("install", key)
}
func (k *keyring) UseGossipKey(_ context.Context, key string) error    { return k.tell("use", key) }
func (k *keyring) RemoveGossipKey(_ context.Context, key string) error { return k.tell("remove", key) }

// rotates is a cluster whose Secret has these gossip keys.
func rotates(t *testing.T, keys resources.GossipKeys) (*world, *keyring) {
	t.Helper()
	w, agent := secured(t, v1alpha1.GossipRequired), &keyring{}
	w.executor.Dial = func(consul.Target) consul.Agent { return agent }
	w.seen.GossipSecret, w.seen.GossipKeys = resources.GossipSecret(w.seen.Cluster, keys), keys
	w.Expect(w.client.Create(t.Context(), w.seen.GossipSecret)).To(Succeed())
	return w, agent
}

// keys are those of the Secret.
func (w *world) keys(t *testing.T) resources.GossipKeys {
	t.Helper()
	secret := &corev1.Secret{}
	w.Expect(w.client.Get(t.Context(), key(gossipSecret), secret)).To(Succeed())
	keys, err := resources.GossipKeysOf(secret)
	w.Expect(err).NotTo(HaveOccurred())
	return keys
}

func TestStepsOfARotation(t *testing.T) {
	first := resources.NewGossipKeys()
	coming := first.WithNext(resources.NewGossipKeys())
	going := coming.WithNewFirst()
	removing := going.Removing()
	all := ring{keys: consul.Keyring{
		Members: 3, Keys: map[string]int{first.New(): 2, coming.New(): 3, "a": 1}, Primary: map[string]int{coming.New(): 3},
	}}
	for _, test := range []struct {
		step plan.KeyStep
		is   resources.GossipKeys
		then resources.GossipKeys
		told []string
	}{
		{plan.InstallKey, coming, coming, []string{"install " + coming.New()}},
		{plan.PreferKey, coming, going, []string{"use " + coming.New()}},
		{plan.InstallKey, going, going, []string{"install " + coming.New()}},
		{plan.UseKey, going, going, []string{"use " + coming.New()}},
		{plan.DropKeys, going, removing, nil},
		{plan.RemoveKeys, removing, removing, []string{"remove " + first.New(), "remove a"}},
		{plan.SettleKey, removing, removing.Settled(), nil},
	} {
		t.Run(string(test.step), func(t *testing.T) {
			w, agent := rotates(t, test.is)
			agent.ring = all
			outcome, err := w.executor.Do(t.Context(), w.seen, plan.RotateGossip{Step: test.step})
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.keys(t)).To(Equal(test.then))
			w.Expect(agent.told).To(ConsistOf(test.told))
			w.Expect(outcome.Event).NotTo(Or(ContainSubstring(first.New()), ContainSubstring(coming.New())))
		})
	}
}

func TestARotationBegins(t *testing.T) {
	w, _ := rotates(t, resources.NewGossipKeys())
	former := w.seen.GossipKeys.New()
	w.seen.Cluster.Annotations[v1alpha1.AnnotationRotateGossipKey] = "today"
	_, err := w.executor.Do(t.Context(), w.seen, plan.RotateGossip{Step: plan.AddKey})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.gossipKey(t)).To(Equal(former), "nobody encrypts with another one yet")
	w.Expect(w.keys(t).Stage()).To(Equal(resources.GossipComing))
	w.Expect(w.keys(t).New()).NotTo(Equal(former))
	secret := &corev1.Secret{}
	w.Expect(w.client.Get(t.Context(), key(gossipSecret), secret)).To(Succeed())
	w.Expect(resources.IsAsked(w.seen.Cluster, secret, v1alpha1.AnnotationRotateGossipKey)).
		To(BeFalse(), "it is taken up with the key")
	w.Expect(time.Parse(time.RFC3339, secret.Annotations[v1alpha1.AnnotationKeysChanged])).
		To(BeTemporally("~", time.Now(), time.Minute))

	_, err = w.executor.Do(t.Context(), w.seen, plan.RotateGossip{Step: plan.AddKey})
	w.Expect(err).To(MatchError(execute.ErrStale), "on an old picture there would be a third one")
}

// A key that a user provides is the one that comes.
func TestAKeyThatAUserProvides(t *testing.T) {
	w, _ := rotates(t, resources.NewGossipKeys())
	w.seen.Cluster.Spec.GossipEncryption.SecretRef = &v1alpha1.SecretKey{Name: "mine"}
	_, err := w.executor.Do(t.Context(), w.seen, plan.RotateGossip{Step: plan.AddKey})
	w.Expect(err).To(MatchError(ContainSubstring("the gossip key in the Secret mine cannot be used")))
	w.seen.UserSecrets.Key = resources.NewGossipKeys()
	_, err = w.executor.Do(t.Context(), w.seen, plan.RotateGossip{Step: plan.AddKey})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.keys(t).New()).To(Equal(w.seen.UserSecrets.Key.New()))
	w.Expect(w.keys(t).Stage()).To(Equal(resources.GossipComing))
}

// I10: a key that somebody does not have is not used, whatever was observed.
func TestAKeyThatSomebodyLacksIsNotUsed(t *testing.T) {
	going := resources.NewGossipKeys().WithNext(resources.NewGossipKeys()).WithNewFirst()
	w, agent := rotates(t, going)
	agent.keys = consul.Keyring{Members: 3, Keys: map[string]int{going.New(): 2}}
	_, err := w.executor.Do(t.Context(), w.seen, plan.RotateGossip{Step: plan.UseKey})
	w.Expect(err).To(MatchError(execute.ErrStale))
	w.Expect(agent.told).To(BeEmpty())
}

func TestAnImmutableSecretIsNamed(t *testing.T) {
	w, _ := rotates(t, resources.NewGossipKeys())
	w.seen.GossipSecret.Immutable = new(true)
	w.Expect(w.client.Update(t.Context(), w.seen.GossipSecret)).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.RotateGossip{Step: plan.AddKey})
	w.Expect(err).To(MatchError(ContainSubstring("the Secret " + gossipSecret + " is immutable: delete it")))
}

// I10: a key with which somebody encrypts stays, whatever was observed.
func TestAKeyThatIsUsedIsNotRemoved(t *testing.T) {
	first := resources.NewGossipKeys()
	going := first.WithNext(resources.NewGossipKeys()).WithNewFirst()
	w, agent := rotates(t, going)
	agent.keys = consul.Keyring{
		Members: 3, Keys: map[string]int{first.New(): 3, going.New(): 3}, Primary: map[string]int{first.New(): 1, going.New(): 2},
	}
	_, err := w.executor.Do(t.Context(), w.seen, plan.RotateGossip{Step: plan.RemoveKeys})
	w.Expect(err).To(MatchError(execute.ErrStale))
	w.Expect(agent.told).To(BeEmpty())
}

func TestNoSecretNoRotation(t *testing.T) {
	w := secured(t, v1alpha1.GossipRequired)
	_, err := w.executor.Do(t.Context(), w.seen, plan.RotateGossip{Step: plan.AddKey})
	w.Expect(err).To(MatchError(execute.ErrStale))
}

// A Secret that somebody has damaged gets the keys of the servers, all of them.
func TestDamagedGossipKeysAreRepaired(t *testing.T) {
	first := resources.NewGossipKeys()
	others := []string{resources.NewGossipKeys().New(), resources.NewGossipKeys().New()}
	slices.Sort(others)
	other, some := others[0], others[1]
	w, agent := rotates(t, first)
	secret := w.seen.GossipSecret.DeepCopy()
	secret.Data["keyring"] = []byte("[]")
	w.Expect(w.client.Update(t.Context(), secret)).To(Succeed())
	w.runs("consul-0", v1alpha1.GossipRequired)
	agent.keys = consul.Keyring{
		Members: 2, Keys: map[string]int{first.New(): 2, other: 2, some: 1}, Primary: map[string]int{first.New(): 2},
	}
	w.carryOut(t, plan.Decision{})
	w.Expect(w.keys(t)).To(Equal(resources.KnownGossipKeys(first.New(), []string{other, some})), "those that only some have, too")
}
