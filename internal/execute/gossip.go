package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
		err := e.provideGossipKey(ctx, s)
		var taken *TakenError
		if errors.As(err, &taken) && !errors.Is(err, ErrStale) { // nothing needs the name yet, so it holds nothing up
			return Outcome{}, errors.New(taken.Error())
		}
		if err != nil {
			return Outcome{}, err
		}
	}
	event := fmt.Sprintf("gossip encryption goes from %s to %s", s.Spec.Gossip.Phase, a.Phase)
	return e.record(ctx, s, event, func(o client.Object) {
		annotate(v1alpha1.AnnotationGossip, a.Phase.String())(o)
		unannotate(v1alpha1.AnnotationAgentsReady)(o)
	})
}

// ensureGossipKey keeps the Secret with the gossip key while servers have it.
func (e *Executor) ensureGossipKey(ctx context.Context, s *observe.Snapshot) error {
	if !resources.HasGossipKey(resources.GossipPhase(s.Cluster)) {
		return nil
	}
	return e.provideGossipKey(ctx, s)
}

// provideGossipKey creates the Secret with the gossip key, or gives it its labels back.
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
	return e.relabel(ctx, s.Cluster, live, resources.Labels(s.Cluster))
}

func (e *Executor) createGossipKey(ctx context.Context, s *observe.Snapshot) error {
	key, err := e.gossipKey(ctx, s)
	if err != nil {
		return fmt.Errorf("the Secret %s is gone: restore it from a backup, or %w", resources.GossipSecretName(s.Cluster.Name), err)
	}
	secret, err := resources.GossipSecret(s.Cluster, key)
	if err != nil {
		return err
	}
	return e.Client.Create(ctx, secret)
}

// gossipKey is the key that servers have, and a new one if it is certain that none has any. A server that was given one has it on
// its volume, whatever the Secret says by now.
func (e *Executor) gossipKey(ctx context.Context, s *observe.Snapshot) (string, error) {
	if !slices.ContainsFunc(s.Servers, func(server plan.Server) bool { return mayHaveKey(s.Pods[server.Name]) }) {
		return resources.NewGossipKey(), nil
	}
	for _, server := range s.Servers {
		if pod := s.Pods[server.Name]; pod == nil || !server.Agent.Answered || !resources.GivenGossipKey(pod) {
			continue
		}
		keyring, err := e.Dial(s.Target(server.Name)).Keyring(ctx) // of all members, so one answer is as good as another
		switch {
		case errors.Is(err, consul.ErrNoKey):
			return "", fmt.Errorf("set spec.gossipEncryption.enabled back: some members have no key, and so none is told: %w", err)
		case err != nil:
			return "", fmt.Errorf("see why Consul does not tell the key: %w", err)
		case keyring.Shared() == "":
			return "", fmt.Errorf("give all %d members the same key: they do not share one", keyring.Members)
		}
		return keyring.Shared(), nil
	}
	return "", errors.New("wait for a server that answers: it tells the key")
}

// mayHaveKey reports whether the server of a pod may have the gossip key. It has none if it was given none, or if its init
// container found none, neither in the Secret nor on the volume. Of a server without a pod nobody knows.
func mayHaveKey(pod *corev1.Pod) bool {
	if pod == nil {
		return true
	}
	foundNone := slices.ContainsFunc(pod.Status.InitContainerStatuses, func(status corev1.ContainerStatus) bool {
		ended := cmp.Or(status.State.Terminated, status.LastTerminationState.Terminated)
		return status.Name == resources.ContainerGossipKey && ended != nil && ended.ExitCode != 0
	})
	return resources.GivenGossipKey(pod) && !foundNone
}
