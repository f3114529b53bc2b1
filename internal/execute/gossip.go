package execute

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// setGossip records a phase, once the key is there that its servers need: a phase that is recorded leads to pods. What a person
// has confirmed for it is used up, and does not count when it is reached another time.
func (e *Executor) setGossip(ctx context.Context, s *observe.Snapshot, a plan.SetGossip) (Outcome, error) {
	if a.Phase == s.Spec.Gossip.Phase {
		return e.record(ctx, s, fmt.Sprintf("the record that gossip encryption is %s is missing: it is written again", a.Phase),
			annotate(v1alpha1.AnnotationGossip, a.Phase.String()))
	}
	if a.Phase != plan.GossipOff {
		if err := notNeeded(e.provideGossipKey(ctx, s), "set spec.gossipEncryption.enabled to false"); err != nil {
			return Outcome{}, err
		}
	}
	event := fmt.Sprintf("gossip encryption goes from %s to %s", s.Spec.Gossip.Phase, a.Phase)
	return e.record(ctx, s, event, func(o client.Object) {
		annotate(v1alpha1.AnnotationGossip, a.Phase.String())(o)
		useUp(a.Phase.String())(o)
	})
}

// ensureGossipKey keeps the Secret with the gossip key while servers have it.
func (e *Executor) ensureGossipKey(ctx context.Context, s *observe.Snapshot) error {
	if !resources.HasGossipKey(resources.GossipPhase(s.Cluster)) {
		return nil
	}
	return e.provideGossipKey(ctx, s)
}

// provideGossipKey creates the Secret with the gossip key, or gives it its labels and its keys back.
func (e *Executor) provideGossipKey(ctx context.Context, s *observe.Snapshot) error {
	live, key := &corev1.Secret{}, client.ObjectKey{
		Namespace: s.Cluster.Namespace, Name: resources.GossipSecretName(s.Cluster.Name),
	}
	err := e.Client.Get(ctx, key, live)
	if apierrors.IsNotFound(err) { // or it has lost its labels
		err = e.Live.Get(ctx, key, live)
	}
	if apierrors.IsNotFound(err) {
		return e.createGossipKey(ctx, s)
	}
	if err != nil {
		return err
	}
	if !live.DeletionTimestamp.IsZero() {
		return fmt.Errorf("the Secret %s is being deleted: the finalizers that hold it have to go first", live.Name)
	}
	if err := e.relabel(ctx, s.Cluster, live, resources.Labels(s.Cluster)); err != nil {
		return err
	}
	if resources.CachedGossipStage(live) == resources.GossipDamaged {
		return e.repairGossipKey(ctx, s, key)
	}
	return nil
}

func (e *Executor) createGossipKey(ctx context.Context, s *observe.Snapshot) error {
	keys, isNew, err := e.gossipKeys(ctx, s)
	if err != nil {
		return fmt.Errorf("the Secret %s is gone: %w", resources.GossipSecretName(s.Cluster.Name), err)
	}
	secret := resources.GossipSecret(s.Cluster, keys)
	if isNew { // otherwise a rotation that is asked for begins anew
		resources.SetRotatedFor(secret, s.Cluster, v1alpha1.AnnotationRotateGossipKey)
	}
	return e.Client.Create(ctx, secret)
}

// repairGossipKey writes the keys again that servers have.
func (e *Executor) repairGossipKey(ctx context.Context, s *observe.Snapshot, key client.ObjectKey) error {
	live := &corev1.Secret{}
	if err := e.readLive(ctx, key, live); err != nil {
		return err
	}
	_, damaged := resources.GossipKeysOf(live)
	if damaged == nil {
		return nil
	}
	keys, _, err := e.gossipKeys(ctx, s)
	if err != nil {
		return fmt.Errorf("the Secret %s is damaged (%w): %w", live.Name, damaged, err)
	}
	return e.setGossipKeys(ctx, live, keys, resources.ForgetRotation)
}

// setGossipKeys changes the keys in a Secret.
func (e *Executor) setGossipKeys(
	ctx context.Context, live *corev1.Secret, keys resources.GossipKeys, besides func(*corev1.Secret),
) error {
	if ptr.Deref(live.Immutable, false) {
		return fmt.Errorf("the Secret %s is immutable: delete it, and the operator writes it again with the servers' key", live.Name)
	}
	return e.patch(ctx, live, func(o client.Object) {
		secret := o.(*corev1.Secret)
		resources.SetGossipKeys(secret, keys, e.Now())
		besides(secret)
	})
}

// gossipKeys are the keys that servers have, or a new one: see plan.GossipKeySource.
func (e *Executor) gossipKeys(ctx context.Context, s *observe.Snapshot) (keys resources.GossipKeys, isNew bool, err error) {
	source := s.GossipKeySource()
	switch {
	case source.New:
		keys, err = newGossipKeys(s)
		return keys, true, err
	case source.Server == "":
		return keys, false, errors.New("wait for a server that answers: it tells the key")
	}
	keyring, err := e.Dial(s.Target(source.Server)).Keyring(ctx)
	switch {
	case errors.Is(err, consul.ErrNoKey):
		return keys, false, fmt.Errorf(
			"set spec.gossipEncryption.enabled back: some members have no key, and so none is told: %w", err)
	case err != nil:
		return keys, false, fmt.Errorf("see why Consul does not tell the key: %w", err)
	case keyring.Shared() == "":
		return keys, false, fmt.Errorf("give all %d members the same key: they do not share one", keyring.Members)
	}
	return resources.KnownGossipKeys(keyring.Shared(), keyring.All()), false, nil
}

// newGossipKeys are the one that a user provides, or a new one.
func newGossipKeys(s *observe.Snapshot) (resources.GossipKeys, error) {
	switch ref := s.Cluster.Spec.GossipEncryption.SecretRef; {
	case ref == nil:
		return resources.NewGossipKeys(), nil
	case s.UserSecrets.Key.IsNone():
		return resources.GossipKeys{}, unusable("gossip key", ref.Name)
	}
	return s.UserSecrets.Key, nil
}

// unusable means that a user is to provide something, and the operator makes nothing in its place.
func unusable(what, secret string) error {
	return fmt.Errorf("the %s in the Secret %s cannot be used: see the condition Ready", what, secret)
}

// rotateGossip takes a step of the rotation of the gossip key, if the Secret is as it was observed.
func (e *Executor) rotateGossip(ctx context.Context, s *observe.Snapshot, a plan.RotateGossip) (Outcome, error) {
	r, err := e.rotationOf(ctx, s)
	if err != nil {
		return Outcome{}, err
	}
	switch a.Step {
	case plan.AddKey:
		return Outcome{Event: "the gossip key is rotated: all members get a new one"}, r.addKey(ctx)
	case plan.InstallKey:
		return Outcome{}, r.leader.InstallGossipKey(ctx, r.keys.New())
	case plan.PreferKey:
		return Outcome{Event: "the new gossip key is used: all members have it"}, r.preferKey(ctx)
	case plan.UseKey:
		return Outcome{}, r.useKey(ctx)
	case plan.DropKeys:
		return Outcome{Event: "all members encrypt with the new gossip key"}, r.write(ctx, r.keys.Removing())
	case plan.RemoveKeys:
		return Outcome{}, r.removeOtherKeys(ctx)
	case plan.SettleKey:
		return Outcome{Event: "the gossip key is rotated: no member has another one"}, r.write(ctx, r.keys.Settled())
	}
	return Outcome{}, fmt.Errorf("%s is no step of a rotation", a.Step)
}

// rotation is what a step of it needs.
type rotation struct {
	*Executor
	seen   *observe.Snapshot
	secret *corev1.Secret
	keys   resources.GossipKeys
	leader consul.Agent
}

// rotationOf reads the keys, which the cache leaves out.
func (e *Executor) rotationOf(ctx context.Context, s *observe.Snapshot) (*rotation, error) {
	secret, err := e.readAsSeen(ctx, s.GossipSecret)
	if err != nil {
		return nil, err
	}
	keys, damaged := resources.GossipKeysOf(secret)
	if damaged != nil { // it is repaired
		return nil, fmt.Errorf("%w: the Secret of the gossip keys has changed", ErrStale)
	}
	return &rotation{e, s, secret, keys, e.leader(s)}, nil
}

func (r *rotation) write(ctx context.Context, keys resources.GossipKeys) error {
	return r.setGossipKeys(ctx, r.secret, keys, func(*corev1.Secret) {})
}

func (r *rotation) addKey(ctx context.Context) error {
	next, err := newGossipKeys(r.seen)
	if err != nil {
		return err
	}
	return r.setGossipKeys(ctx, r.secret, r.keys.WithNext(next), func(secret *corev1.Secret) {
		resources.SetRotatedFor(secret, r.seen.Cluster, v1alpha1.AnnotationRotateGossipKey)
	})
}

// preferKey has servers and agents that start use the new key, and those that run at once: whoever starts in between with the new
// key alone does not hear the others.
func (r *rotation) preferKey(ctx context.Context) error {
	if err := r.write(ctx, r.keys.WithNewFirst()); err != nil {
		return err
	}
	return r.useKey(ctx)
}

// useKey makes all members encrypt with the new key, if all have it.
func (r *rotation) useKey(ctx context.Context) error {
	key := r.keys.New()
	keyring, err := r.leader.Keyring(ctx)
	if err != nil {
		return err
	}
	if keyring.Keys[key] < keyring.Members {
		return fmt.Errorf("%w: a member does not have the gossip key", ErrStale)
	}
	return r.leader.UseGossipKey(ctx, key)
}

// removeOtherKeys makes all members forget all keys but one, if all encrypt with that one.
func (r *rotation) removeOtherKeys(ctx context.Context) error {
	key := r.keys.New()
	keyring, err := r.leader.Keyring(ctx)
	if err != nil {
		return err
	}
	if keyring.Primary[key] < keyring.Members {
		return fmt.Errorf("%w: a member encrypts with another gossip key", ErrStale)
	}
	for _, other := range keyring.All() {
		if other == key {
			continue
		}
		if err := r.leader.RemoveGossipKey(ctx, other); err != nil {
			return err
		}
	}
	return nil
}
