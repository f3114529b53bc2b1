package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// gossip is the phase of gossip encryption that a cluster has, and the one that it is to have in the end: where the spec says
// nothing, the same. See secureNewCluster.
func gossip(c *v1alpha1.ConsulCluster) plan.Gossip {
	phase, _ := plan.ParseGossipPhase(string(resources.GossipPhase(c))) // the error is found again, see readRecords
	gossip := plan.Gossip{
		Phase: phase, Target: phase, Unrecorded: resources.GossipRecordLost(c),
	}
	switch enabled := c.Spec.GossipEncryption.Enabled; {
	case enabled == nil:
	case *enabled:
		gossip.Target = plan.GossipRequired
	default:
		gossip.Target = plan.GossipOff
	}
	return gossip
}

// gossipKeys reads how far the rotation of the gossip keys is and, while there is one, the keys. A Secret that is gone, not the
// cluster's, or damaged is put right by whoever surrounds the servers with what they need.
func (o *Observer) gossipKeys(ctx context.Context, s *Snapshot) error {
	if s.Spec.Gossip.Phase == plan.GossipOff {
		return nil
	}
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.Cluster.Namespace, Name: resources.GossipSecretName(s.Cluster.Name)}
	err := o.Reader.Get(ctx, key, secret)
	stage := resources.CachedGossipStage(secret)
	if err == nil && o.isRotated(s, secret, stage) { // the cache leaves keys out
		err = o.Live.Get(ctx, key, secret)
		stage = resources.GossipStageOf(secret)
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the gossip keys: %w", err)
	}
	rotation := &s.Spec.Gossip.Rotation
	rotation.Stage = plan.KeyUnknown
	rotation.Replacement.Asked = s.Cluster.Annotations[v1alpha1.AnnotationRotateGossipKey] != ""
	if err != nil || !resources.Belongs(s.Cluster, secret) {
		return nil
	}
	s.GossipSecret, s.rotatesKey = secret, o.isRotated(s, secret, stage)
	s.GossipKeys, _ = resources.GossipKeysOf(secret) // none, if the cache has left them out
	*rotation = plan.Rotation{
		Stage: keyStages[stage], Replacement: otherKey(s, secret),
		ShownAt:   resources.KeysChanged(secret).Add(o.SecretDelay),
		Federated: resources.ConnectsDatacenters(s.Cluster),
	}
	return nil
}

// isRotated reports whether the gossip keys are being replaced, or are to be, and known.
func (o *Observer) isRotated(s *Snapshot, secret *corev1.Secret, stage resources.GossipStage) bool {
	return stage != resources.GossipDamaged && (stage != resources.GossipSettled || otherKey(s, secret).Why(o.Now()) != "")
}

// otherKey are the reasons for another gossip key than the newest one in a Secret.
func otherKey(s *Snapshot, secret *corev1.Secret) plan.Replacement {
	spec := s.Cluster.Spec.GossipEncryption
	reasons := replacementOf(s.Cluster, secret, v1alpha1.AnnotationRotateGossipKey, spec.RotateEvery)
	if spec.SecretRef != nil {
		reasons.FromSecret = spec.SecretRef.Name
		reasons.Differs = !s.UserSecrets.Key.IsNone() && !resources.IsNewestGossipKey(secret, s.UserSecrets.Key)
	}
	return reasons
}

var keyStages = map[resources.GossipStage]plan.KeyStage{
	resources.GossipDamaged: plan.KeyUnknown, resources.GossipSettled: plan.KeySettled, resources.GossipComing: plan.KeyComing,
	resources.GossipGoing: plan.KeyGoing, resources.GossipRemoving: plan.KeyRemoving,
}

// gossipMembers asks the leader's agent whom the next phase, or another key, could cut off. It asks for the keys of all
// members when a phase could end, and during a rotation: whoever has none logs the question, and whoever does not answer is
// waited for. The members are listed afterwards, so that one that fails meanwhile is in the list.
func gossipMembers(ctx context.Context, s *Snapshot, agent consul.Agent) (members plan.GossipMembers) {
	gossip := s.Spec.Gossip
	isChanging := gossip.Phase != gossip.Target
	endsWithKeys := isChanging && (gossip.Phase == plan.GossipOff || gossip.Phase == plan.GossipAccepting)
	if (endsWithKeys || s.rotatesKey) && allAsWanted(s) {
		members = keysOfMembers(ctx, s, agent)
	}
	clients, err := agent.ClientAgents(ctx)
	if err != nil {
		return plan.GossipMembers{Unanswered: err.Error()}
	}
	members.ClientAgents, members.DownAgents = clients.Names, clients.Down
	told, alive := members.Keyring.Members, clients.Alive+aliveServers(s)
	if told > 0 && told != alive {
		members.Keyring = plan.Keyring{}
		members.KeysUnanswered = fmt.Sprintf("%d told them, and %d are alive", told, alive)
	}
	return members
}

func keysOfMembers(ctx context.Context, s *Snapshot, agent consul.Agent) (members plan.GossipMembers) {
	phase := s.Spec.Gossip.Phase
	keyring, err := agent.Keyring(ctx)
	switch {
	case phase == plan.GossipOff && err == nil:
		members.Encrypted = true
	case errors.Is(err, consul.ErrNoKey) && phase == plan.GossipOff:
	case errors.Is(err, consul.ErrNoKey):
		members.Keyless = cmp.Or(keyless.FindString(err.Error()), "a member") + " without it"
	case err != nil:
		members.KeysUnanswered = err.Error()
	case keyring.Shared() == "":
		members.Keyless = fmt.Sprintf("the %d members do not share one", keyring.Members)
	case s.rotatesKey:
		members.Keyring = keyringOf(keyring, s.GossipKeys.New())
	}
	return members
}

func aliveServers(s *Snapshot) (alive int) {
	for _, m := range s.Raft.Members {
		if m.Status == plan.MemberAlive {
			alive++
		}
	}
	return alive
}

// keyringOf is what members have of a key.
func keyringOf(ring consul.Keyring, key string) plan.Keyring {
	seen := plan.Keyring{Members: ring.Members, HaveKey: ring.Keys[key], UseKey: ring.Primary[key], OtherKeys: len(ring.Keys)}
	if seen.HaveKey > 0 {
		seen.OtherKeys--
	}
	return seen
}

// keyless is how many members have no key in Consul's answer, which lists them in any order.
var keyless = regexp.MustCompile(`\d+/\d+ nodes`)

// allAsWanted reports whether all servers that are wanted serve with the wanted revision.
func allAsWanted(s *Snapshot) bool {
	return len(s.Servers) == s.Spec.Replicas && !slices.ContainsFunc(s.Servers, func(server plan.Server) bool {
		return server.Pod == nil || !server.Pod.Ready || server.Pod.Revision != s.Spec.Revision
	})
}
